"""The options of bsub as LSF reads them: one letter each in a plain one, some words more in IBM's."""

from __future__ import annotations

import re
import shlex

FLAGS = "xrHKNB"
VALUES = "JqnWoeRMPUmcwgiaEbtCDFSspLX"
WORDS = ("-gpu", "-app", "-env", "-cwd", "-hostfile", "-sla", "-rn", "-oo", "-eo", "-G")


class Refusal(Exception):
    """bsub's reason without its last sentence."""


def parse(words: list[str], ibm: bool) -> tuple[dict[str, str], list[str]]:
    """Options by letter or word, and what follows the last one."""
    found: dict[str, str] = {}
    place = 0
    while place < len(words):
        word = words[place]
        if not word.startswith("-") or word.startswith("--") or word == "-":
            break
        place += 1
        if ibm and word in WORDS:
            found[word] = "" if word == "-rn" else words[place]
            place += 0 if word == "-rn" else 1
            continue
        letter, rest = word[1], word[2:]
        if letter == "I":
            found["I"] = rest
        elif letter in FLAGS:
            found[letter] = ""
        elif letter in VALUES or (ibm and letter == "G"):
            if not rest:
                rest = words[place] if place < len(words) else ""
                place += 1
            found[letter] = rest
        else:
            raise Refusal(f"bsub: illegal option -- {letter}\n")
    return found, words[place:]


def directives(script: str, ibm: bool) -> dict[str, str]:
    """Those of the script; the first word that is no option ends the reading of all of them."""
    found: dict[str, str] = {}
    for line in script.splitlines():
        match = re.match(r"\s*#BSUB\s+(.*)", line)
        if not match:
            continue
        try:
            words = shlex.split(match.group(1), comments=False)
        except ValueError:
            break
        options, rest = parse(words, ibm)
        found.update(options)
        if rest:
            break
    return found


def runlimit(text: str) -> int:
    """Seconds of -W."""
    match = re.match(r"(?:(\d+):)?(\d+)(/\S+)?\Z", text)
    if not match:
        raise Refusal(f"{text}: Bad RUNLIMIT specification")
    return (int(match.group(1) or 0) * 60 + int(match.group(2))) * 60


KNOWN = ("mem", "swp", "tmp", "ncpus", "maxmem", "ut", "r15s", "r1m", "type", "model")


def requirements(text: str, ibm: bool, resources: list[str]) -> dict[str, str]:
    """Sections of -R by name."""
    found: dict[str, str] = {}
    if not re.match(r"(\s*[a-z]+\[[^\[\]]*\]\s*)+\Z", text):
        raise Refusal("Bad resource requirement syntax")
    for name, inside in re.findall(r"([a-z]+)\[([^\[\]]*)\]", text):
        if name == "rusage":
            for part in re.split(r"[:,]", inside):
                key, _, value = part.strip().partition("=")
                good = re.match(r"\d+(\.\d+)?{}\Z".format("([KMGT]B?)?" if ibm else ""), value)
                if key not in (*KNOWN, *resources) or not good:
                    raise Refusal("Bad resource requirement syntax")
        if name in found:
            raise Refusal("Bad resource requirement syntax")
        found[name] = inside
    return found

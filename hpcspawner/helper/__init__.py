"""The helper: acts on the batch system as a user. Closed verbs, one JSON request on stdin, one JSON answer on stdout.

Standard library only, and Python 3.8 or newer. helper_app packs it, with the dialects and the in-job files, into one
file that runs on submit hosts as `python3 -I -S helper.pyz`. Nothing here starts before main.main() is called.
"""

"""Detectors as single ONNX files that the experiments' software runs.

hepad.export.writing    export: a fitted detector to a file, checked against torch before it takes its name
hepad.export.targets    check_contract: what the wrappers of CMSSW and Athena ask of a file
hepad.export.running    run, about: scores and metadata of a file
hepad.export.command    the subcommand ``hepad export``
"""

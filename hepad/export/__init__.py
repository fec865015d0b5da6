"""Detectors as single ONNX files that the experiments' software runs.

hepad.export.writing    export: a fitted detector to a file, checked against torch before it takes its name
hepad.export.targets    check_contract: what the wrappers of CMSSW and Athena ask of a file
hepad.export.running    run, about: scores and metadata of a file
hepad.export.metadata   what a file says of itself, and its digest
hepad.export.sessions   sessions of ONNX Runtime, also in a process of their own
hepad.export.command    the subcommands ``hepad export`` and ``hepad verify``
"""

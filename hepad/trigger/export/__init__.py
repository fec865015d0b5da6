"""Detectors as single ONNX files that the experiments' software runs.

hepad.trigger.export.onnx_export    export: a fitted detector to a file, checked against torch before it takes its name
hepad.trigger.export.encoder_export    export_encoder: the encoder of a detector alone, as input of others
hepad.trigger.export.contracts    check_contract: what the wrappers of CMSSW and Athena ask of a file
hepad.trigger.export.inference    run, about: scores and metadata of a file
hepad.trigger.export.metadata   what a file says of itself, and its digest
hepad.trigger.export.sessions   runs of ONNX Runtime in a process of their own
hepad.trigger.export.vectors    test vectors beside a file
hepad.trigger.export.seeds    whether the seeds of a menu have its thresholds
hepad.cli.export    the subcommands ``hepad export`` and ``hepad verify``
"""

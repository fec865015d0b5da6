"""hepad: anomaly detection at LHC triggers, from events to signal efficiencies.

A detector is fitted on background alone and gives every event one number; higher means more anomalous. Everything else
in this package feeds detectors or measures them. In a notebook (GeV and radians, numpy in and out):

    import hepad
    background, signal = hepad.read("qcd.root"), hepad.read("top.root")
    detector = hepad.AE(representation=hepad.JetImage(size=20)).fit(background.of_split("train"))
    scores = detector.score(background.of_split("test")), detector.score(signal)
    hepad.evaluate(*scores).auc
    detector.save("ae.safetensors")
    hepad.load("ae.safetensors").score(signal)
    hepad.open("results").table("auc")              # what the workflow has left

``dir(hepad)`` lists the names, ``help(hepad.NAE)`` explains one. Each is imported when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

# public name -> the module that it comes from, and its name there if that is another
_DOOR = {
    "read": "hepad.samples.reading",
    **dict.fromkeys(("JetImage", "EventVector", "EventMatrix"), "hepad.representations"),
    **dict.fromkeys(("Constituents", "Joined", "Embedding"), "hepad.representations"),
    **dict.fromkeys(("AE", "ConvVAE", "NAE", "WNAE", "MPDR", "IGEBM", "DRL"), "hepad.detectors.estimator"),
    **dict.fromkeys(("FlowDensity", "LatentMixture", "Contrastive", "WGAN"), "hepad.detectors.estimator"),
    **dict.fromkeys(("DAGMM", "DeepSVDD", "MaskedPrediction", "FlowMatching"), "hepad.detectors.estimator"),
    **dict.fromkeys(("Glow", "PixelCNN"), "hepad.detectors.estimator"),
    **dict.fromkeys(("Mixture", "NearestNeighbours", "Outlier", "PCAReconstruction"), "hepad.detectors.estimator"),
    **dict.fromkeys(("PixelNorm", "Variable", "Combination"), "hepad.detectors.estimator"),
    "load": "hepad.detectors.estimator",
    "evaluate": "hepad.evaluation.roc",
    "p_values": "hepad.evaluation.p_values",
    "least_regret": "hepad.evaluation.least_regret",
    "far_events": "hepad.evaluation.far_events",
    "explain": "hepad.evaluation.explanation",
    "anomaly_map": "hepad.evaluation.anomaly_map",
    "open": "hepad.config.results:Results",
}

__all__ = ["__version__", *_DOOR]


def __getattr__(name: str):
    if name not in _DOOR:
        raise AttributeError(f"module 'hepad' has no attribute '{name}'")
    module, _, own_name = _DOOR[name].partition(":")
    globals()[name] = value = getattr(import_module(module), own_name or name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

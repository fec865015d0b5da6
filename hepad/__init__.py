"""hepad: anomaly detection at LHC triggers, from events to signal efficiencies.

A detector is a module that is fitted on background alone and gives every event one number;
higher means more anomalous. Everything else in this package feeds detectors or measures them.
"""

__version__ = "0.1.0"

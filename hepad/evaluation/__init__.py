"""Evaluation: from scores to efficiencies, rejections and AUC, with intervals, and to what else a score tells."""

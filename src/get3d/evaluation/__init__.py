"""How good a model is against a dataset: the evaluator, its table of metrics, its report."""

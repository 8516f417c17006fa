"""Evaluation of models against a dataset: the evaluator, the table of metrics, the report."""

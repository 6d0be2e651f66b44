"""Exercises: ``check`` an answer, ask a ``quiz``, keep a ``predict``ion."""

from coursekit.exercises.checking import check
from coursekit.exercises.predictions import predict
from coursekit.exercises.quizzes import quiz

__all__ = ["check", "predict", "quiz"]

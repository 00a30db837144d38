"""The viewers, a class each: a control is a trait, its change a question, and the answer is drawn."""

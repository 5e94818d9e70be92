"""The dashboard: what was spent and what budgets did, as one page that needs nothing else."""

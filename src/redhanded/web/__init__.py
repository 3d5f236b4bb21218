"""`redhanded serve`: verdicts in the browser and over HTTP."""

"""`redhanded attack`: a user's own model and images, attacked; adversarial sets with their provenance come out."""

"""All neighbours within a distance: the search, its doors, and the layer that it makes."""

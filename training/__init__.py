"""The recipe: labelled pictures in, the .keras files that fmd ships out, measured. ``fmd-train`` runs it."""

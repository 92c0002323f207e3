"""Evidence for advice: noise between seeds, trends along a range, regions in which trials fail."""

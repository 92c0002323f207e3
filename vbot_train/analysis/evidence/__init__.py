"""What advice rests on: noise between seeds, trends along a range, regions in which trials fail."""

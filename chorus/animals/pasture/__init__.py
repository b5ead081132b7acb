"""A synthetic pasture: pictures of free quadrupeds with their exact keypoints, masks, cameras."""

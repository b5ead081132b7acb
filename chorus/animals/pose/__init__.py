"""The keypoint network: heat maps of the 16 keypoints in the crop around an animal."""

"""`objectcut paste-server`: a phone cuts out of the room and pastes to where it points on a screen."""

package ledger

// GroupClock is the progress of a group's instances with forgetting publishers (R10). Neither number
// ever falls. Each instance takes the larger one of its own number and the numbers that it hears.
type GroupClock struct {
	// Now is the group's clock. It rises with each quarter of retain for which
	// an instance was running.
	Now uint64
	// Forgotten is above the clock at which any forgotten publisher was last seen, on whichever
	// instance.
	Forgotten uint64
}

// Max returns the larger one of each number.
func (c GroupClock) Max(o GroupClock) GroupClock {
	return GroupClock{Now: max(c.Now, o.Now), Forgotten: max(c.Forgotten, o.Forgotten)}
}

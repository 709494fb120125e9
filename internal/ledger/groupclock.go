package ledger

// A GroupClock is the clock by which the instances of a group forget publishers (R10). Neither
// number ever falls. Each instance takes the larger of its own number and a peer's.
type GroupClock struct {
	// Now is the present tick. It rises with each quarter of retain for which an instance was
	// running.
	Now uint64
	// Forgotten is above the tick at which any instance last saw a publisher that is forgotten
	// now.
	Forgotten uint64
}

// Max returns the larger of each number.
func (c GroupClock) Max(o GroupClock) GroupClock {
	return GroupClock{Now: max(c.Now, o.Now), Forgotten: max(c.Forgotten, o.Forgotten)}
}

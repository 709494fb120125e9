package ledger

// Closing is how far the instances of a group have come with forgetting
// publishers (R10). Both numbers never fall, and each instance takes the larger
// one of what it knows and hears.
type Closing struct {
	// Clock is the group's clock. It rises with each quarter of retain for which
	// an instance was running.
	Clock uint64
	// Forgotten is above the clock at which each publisher was last seen that any
	// instance has forgotten.
	Forgotten uint64
}

// Max returns the larger numbers of both.
func (c Closing) Max(o Closing) Closing {
	return Closing{Clock: max(c.Clock, o.Clock), Forgotten: max(c.Forgotten, o.Forgotten)}
}

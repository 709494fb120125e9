package clientcore

// How a client behaves that was told that its name is in use (R11), in
// nanoseconds and times.
const (
	nameWait   = 5_000_000_000
	nameWithin = 60_000_000_000
	nameTimes  = 3
)

// A NameRule keeps two processes of one name from pushing each other out for
// ever: the one that is told waits, and after the third time in a minute stops.
type NameRule struct {
	told []int64 // when, the last few
}

// InUse notes that the name is in use at a time. It returns the least time to
// wait, and whether it is time to stop.
func (r *NameRule) InUse(now int64) (wait int64, stop bool) {
	r.told = append(r.told, now)
	if len(r.told) > nameTimes {
		r.told = r.told[1:]
	}
	return nameWait, len(r.told) == nameTimes && now-r.told[0] <= nameWithin
}

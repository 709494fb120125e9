package journal

// tellEach is after how many records at most they are told of.
const tellEach = 64

// Untold are records that came together: Add has taken them, and nobody was
// told yet. It belongs to the goroutine that adds them; the zero value has none.
type Untold struct {
	Moved   []Moved // of each publisher the last, of those that came one behind the other
	Records int
	came    int64
}

// Came returns the time of what comes together, for Record.Time.
func (u *Untold) Came(j *Journal) int64 {
	if u.Records == 0 {
		u.came = j.Now()
	}
	return u.came
}

// Note notes a record, and reports whether it is time to tell.
func (u *Untold) Note(publisher, sequence uint64) (full bool) {
	if n := len(u.Moved); n > 0 && u.Moved[n-1].Publisher == publisher {
		u.Moved[n-1].Sequence = sequence
	} else {
		u.Moved = append(u.Moved, Moved{publisher, sequence})
	}
	u.Records++
	return u.Records >= tellEach
}

// Tell tells OnAppend of what Add has taken, and begins anew.
func (j *Journal) Tell(u *Untold) {
	if j.o.OnAppend != nil {
		for _, m := range u.Moved {
			j.o.OnAppend(m.Publisher, m.Sequence)
		}
	}
	u.Moved, u.Records = u.Moved[:0], 0
}

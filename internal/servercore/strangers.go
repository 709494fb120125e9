package servercore

// strangers are the connections that have sent no logon, by the address that they come
// from. They are not safe for concurrent use.
type strangers map[string]map[*Session]struct{}

// add adds a connection whose address is set.
func (all strangers) add(s *Session) {
	from := all[s.address]
	if from == nil {
		from = make(map[*Session]struct{})
		all[s.address] = from
	}
	from[s] = struct{}{}
}

// remove removes a connection, if it is there.
func (all strangers) remove(s *Session) {
	from := all[s.address]
	if delete(from, s); len(from) == 0 {
		delete(all, s.address)
	}
}

func (all strangers) count() (n int) {
	for _, from := range all {
		n += len(from)
	}
	return n
}

// crowding returns the stranger that makes room for another, any one of those from
// the address from which most have come. So one address keeps out hardly any but itself,
// and of that those that take longer than most others.
func (all strangers) crowding() *Session {
	var busiest map[*Session]struct{}
	for _, from := range all {
		if len(from) > len(busiest) {
			busiest = from
		}
	}
	for s := range busiest { // in random order
		return s
	}
	return nil
}

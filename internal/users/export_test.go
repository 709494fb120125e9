package users

import "context"

// Parse is Load of a text.
func Parse(file string, text []byte) (*Set, error) { return parse(file, text) }

// FillSlots takes all slots for costly computations, until release is called.
func FillSlots() (release func()) {
	for range cap(hashSlots) {
		hashSlots <- struct{}{}
	}
	return func() {
		for range cap(hashSlots) {
			<-hashSlots
		}
	}
}

// HoldTurn takes the turn of a source, until release is called.
func HoldTurn(source string) (release func()) {
	release, _ = sourceTurns.take(context.Background(), source)
	return release
}

// Sources returns the number of sources that compute or wait.
func Sources() int {
	sourceTurns.mu.Lock()
	defer sourceTurns.mu.Unlock()
	return len(sourceTurns.sources)
}

// PlainCost returns the cost of checking a plain password of a user, known or not: the iterations of
// PBKDF2, or memory, passes and threads of argon2id.
func (s *Set) PlainCost(name string) [4]int {
	v, h, _ := s.plain(name)
	if len(h.hash) > 0 {
		return [4]int{0, int(h.memory), int(h.passes), int(h.threads)}
	}
	return [4]int{v.Iterations}
}

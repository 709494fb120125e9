package clientcore

// An inFlight is a message that was sent on this connection and of which no
// server has said yet that it has it.
type inFlight struct {
	sequence uint64
	bytes    int
	done     bool // rejected out of order
}

// A flight is what is between the sender and the acks, in the order it was
// sent, in a ring that grows to the window at most.
type flight struct {
	ring  []inFlight // its length is a power of two, or 0
	head  int
	n     int
	bytes int
}

func (f *flight) at(i int) *inFlight { return &f.ring[(f.head+i)&(len(f.ring)-1)] }

func (f *flight) push(sequence uint64, bytes int) {
	if f.n == len(f.ring) {
		f.grow()
	}
	f.n++
	*f.at(f.n - 1) = inFlight{sequence: sequence, bytes: bytes}
	f.bytes += bytes
}

func (f *flight) grow() {
	bigger := make([]inFlight, max(64, 2*len(f.ring)))
	for i := range f.n {
		bigger[i] = *f.at(i)
	}
	f.ring, f.head = bigger, 0
}

func (f *flight) pop() {
	f.bytes -= f.at(0).bytes
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.n--
}

// settle takes out everything up to through.
func (f *flight) settle(through uint64) {
	for f.n > 0 && (f.at(0).done || f.at(0).sequence <= through) {
		f.pop()
	}
}

// drop takes out one message, wherever it stands.
func (f *flight) drop(sequence uint64) {
	low, high := 0, f.n
	for low < high {
		middle := int(uint(low+high) / 2)
		if f.at(middle).sequence < sequence {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < f.n && f.at(low).sequence == sequence {
		f.at(low).done = true
	}
	f.settle(0)
}

func (f *flight) reset() { f.head, f.n, f.bytes = 0, 0, 0 }

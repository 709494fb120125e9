package pubstore

import "github.com/holdfast-mq/holdfast/internal/seglog"

// Without compaction, one old message that does not become safe would keep its file and every later
// one on the disk. If most of the log is no longer needed, the kept messages of the oldest file are
// copied to the end of the log, and the file is removed.

const (
	compactSegments = 4       // a log of fewer files is not compacted
	compactBytes    = 4 << 20 // copied at a time
	recordOverhead  = minRecordLen + 64
)

// A move is a message that compact copies.
type move struct {
	life     *lifeState
	seq      uint64
	from, to uint64
}

// compact copies some of the kept messages of the oldest file, if that is worth it.
func (s *File) compact() error {
	segs := s.log.Segments()
	if len(segs) < compactSegments {
		return nil
	}
	s.mu.Lock()
	n, bytes := s.state.keptTotals()
	live := bytes + int64(n)*recordOverhead
	if 2*live > int64(segs[len(segs)-1].End-segs[0].First) || !s.disk.fits(int(min(live, compactBytes))) {
		s.mu.Unlock()
		return nil
	}
	moves := s.oldestMovesLocked(uint64(segs[0].End))
	s.mu.Unlock()
	moves, err := s.copyMessages(moves)
	if err != nil || len(moves) == 0 {
		return err
	}
	if err := s.log.Write(); err != nil {
		return err
	}
	s.applyMoves(moves)
	return nil
}

// oldestMovesLocked returns the kept messages before end, up to compactBytes of them.
func (s *File) oldestMovesLocked(end uint64) (moves []move) {
	budget := int64(compactBytes)
	for _, l := range s.state.lives {
		for seq := l.next(0); seq != 0 && budget > 0; seq = l.next(seq) {
			at := l.slots.at(seq)
			if at.pos >= end {
				if seq >= l.orderedFrom {
					break // and so are all later messages
				}
				continue
			}
			moves = append(moves, move{life: l, seq: seq, from: at.pos})
			budget -= int64(at.size) + recordOverhead
		}
	}
	return moves
}

// copyMessages appends copies of the messages to the log. It returns the moves of the messages that
// are still kept.
func (s *File) copyMessages(moves []move) ([]move, error) {
	c := &fileCursor{s: s, log: s.log.Cursor(0)}
	defer c.Close()
	copied := moves[:0]
	for _, m := range moves {
		rec, err := c.read(seglog.Position(m.from))
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if m.life.isKept(m.seq) { // otherwise its life may be pruned
			var to seglog.Position
			to, err = s.log.Append(kindMessage, rec)
			m.to = uint64(to)
			copied = append(copied, m)
		}
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return copied, nil
}

// applyMoves makes cursors read the messages from their copies, which are in the file by now.
func (s *File) applyMoves(moves []move) {
	last := moves[len(moves)-1].to
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeVisibleLocked(seglog.Position(last))
	for _, m := range moves {
		if m.life.isKept(m.seq) {
			m.life.setPosition(m.seq, m.to)
		}
	}
	s.scheduleCommitLocked() // to sync the copies and remove the old file
}

package journal

import (
	"bytes"
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// appendRun appends the messages of a run, as long as each is the next one of their
// publisher and needs no other decision. Append does the same for any record.
func (j *Journal) appendRun(check bookmark.Check, run []record.Ordinary, time int64) (t ledger.Taken, err error) {
	j.mu.Lock()
	if err = j.waitRoomLocked(); err == nil {
		t, err = j.takeRunLocked(check, run, time)
	}
	j.mu.Unlock()
	if t.Records > 0 {
		j.work.Signal()
	}
	return t, j.judge(err)
}

func (j *Journal) takeRunLocked(check bookmark.Check, run []record.Ordinary, time int64) (t ledger.Taken, err error) {
	p := j.table.of(run[0].Publisher())
	if !p.takesRuns(check) {
		return t, nil
	}
	t.From, t.To = ledger.Position(j.end), ledger.Position(j.end)
	time = max(time, j.table.lastTime)
	head := binary.LittleEndian.AppendUint64(j.scratch[:0], uint64(time))
	j.scratch = head
	var topic topicOf
	for _, o := range run {
		if o.Sequence() != p.have+1 && !failpoint.On(failpoint.R1RunHoles) || len(o)+len(bookmark.Check{}) > MaxRecord {
			break
		}
		at, err := j.log.AppendSummed(uint8(Message), timeLen+record.HeaderLen(o), o.Sum(), head, o)
		if err != nil {
			return t, errDisk{err}
		}
		j.end = seglog.Behind(at, timeLen+len(o))
		j.table.applyOrdinary(p, o, &topic, at, j.end, time)
		t.Records, t.To = t.Records+1, ledger.Position(j.end)
	}
	if t.Records > 0 && !p.dirty {
		p.dirty = true
		j.dirty = append(j.dirty, p)
	}
	return t, nil
}

// takesRuns reports whether the next message of a publisher, which comes with this check,
// needs no decision.
func (p *publisher) takesRuns(check bookmark.Check) bool {
	return p.check != (bookmark.Check{}) && !bookmark.Mistaken(p.check, check) && p.diverged == 0
}

// A topicOf is the topic of the previous message of a run, with its properties.
type topicOf struct {
	name    []byte // nil: none yet
	carried bool
}

// applyOrdinary is apply for the next message of p, which is ordinary.
func (t *table) applyOrdinary(p *publisher, o record.Ordinary, topic *topicOf, at, behind Position, time int64) {
	t.note(p, at, behind, time)
	p.have = o.Sequence()
	p.seen = t.closing.Clock
	if name := o.Topic(); topic.name == nil || !bytes.Equal(name, topic.name) {
		*topic = topicOf{name, t.carried(name)}
	}
	t.noteTopic(p, topic.name, p.have)
	sum := max(o.Sum(), leastContent)
	if topic.carried {
		p.crc = chainCRC(p.crc, p.have, sum)
	}
	t.rings.put(p, p.have, sum)
}

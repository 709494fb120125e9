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

// runRoom is the room that a message of a run needs besides its bytes and its user: for the length
// of the user, and for a check that a link may add.
const runRoom = 2 + len(bookmark.Check{})

// appendRun appends the messages of a run, as long as each is the next one of its publisher
// and admission needs no other check. Append does the same for one record of any kind.
func (j *Journal) appendRun(check bookmark.Check, user []byte, run []record.OrdinaryMessage, time int64) (t ledger.RunResult, err error) {
	j.mu.Lock()
	if err = j.waitRoomLocked(); err == nil {
		t, err = j.appendRunLocked(check, user, run, time)
	}
	j.mu.Unlock()
	if t.Records > 0 {
		j.work.Signal()
	}
	return t, j.failIfDisk(err)
}

func (j *Journal) appendRunLocked(check bookmark.Check, user []byte, run []record.OrdinaryMessage, time int64) (t ledger.RunResult, err error) {
	p := j.table.lookup(run[0].Publisher())
	if !p.acceptsRun(check) {
		return t, nil
	}
	t.From, t.To = ledger.Position(j.end), ledger.Position(j.end)
	time = max(time, j.table.lastTime)
	head := binary.LittleEndian.AppendUint64(j.scratch[:0], uint64(time))
	j.scratch = head
	var topic runTopic
	for _, o := range run {
		if o.Sequence() != p.have+1 && !failpoint.On(failpoint.R1RunHoles) || len(o)+len(user)+runRoom > MaxRecord {
			break
		}
		prefix, rest := timeLen+record.HeaderLen(o), []byte(o)
		if len(user) > 0 {
			head, rest = o.AppendHeader(head[:timeLen], user), o.Content()
			j.scratch, prefix = head, len(head)
		}
		at, err := j.log.AppendSummed(uint8(Message), prefix, o.Sum(), head, rest)
		if err != nil {
			return t, diskError{err}
		}
		j.end = seglog.EndOf(at, len(head)+len(rest))
		j.table.applyOrdinary(p, o, user, &topic, at, j.end, time)
		t.Records, t.To = t.Records+1, ledger.Position(j.end)
	}
	if t.Records > 0 && !p.dirty {
		p.dirty = true
		j.dirty = append(j.dirty, p)
	}
	return t, nil
}

// acceptsRun reports whether admission may accept the next messages of a publisher by their
// numbers alone. check is the check that came with them.
func (p *publisher) acceptsRun(check bookmark.Check) bool {
	return p.check != (bookmark.Check{}) && !bookmark.ChecksDiffer(p.check, check) && p.diverged == 0
}

// A runTopic caches the properties of the topic of a run's previous message.
type runTopic struct {
	name    []byte // nil: none yet
	carried bool
}

// applyOrdinary is apply for an ordinary message that is the next one of p.
func (t *table) applyOrdinary(p *publisher, o record.OrdinaryMessage, user []byte, topic *runTopic, at, next Position, time int64) {
	t.noteRecord(p, at, next, time)
	p.have = o.Sequence()
	if len(user) == 0 {
		user = o.User()
	}
	p.noteUser(user)
	p.seen = t.groupClock.Now
	if name := o.Topic(); topic.name == nil || !bytes.Equal(name, topic.name) {
		*topic = runTopic{name, t.carried(name)}
	}
	t.noteTopic(p, topic.name, p.have)
	sum := max(o.Sum(), minContentSum)
	if topic.carried {
		p.crc = chainCRC(p.crc, p.have, sum)
	}
	t.rings.put(p, p.have, sum)
}

package journal

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// The removal of a message concerns a subscription only if the message matches (R9). So the
// table has the highest sequence of each publisher on each of its topics. The head of the
// oldest segment has the same for the removed messages. To keep memory small, a topic beyond
// these bounds counts as anyTopic, which matches everything.
const (
	maxTopics     = 8    // of a publisher
	maxTopicNames = 1024 // of all publishers
	maxTopicName  = 256  // bytes
)

const (
	// anyTopic stands for topics beyond the bounds, and for the topics of messages that were
	// removed elsewhere.
	anyTopic = 0
	// elsewhereTopic stands for the topics of messages that links leave out. Their removal is
	// not a gap, because they were never here.
	elsewhereTopic = 1<<32 - 1
)

// A topicHighest is the highest sequence of a publisher on a topic.
type topicHighest struct {
	topic    uint32 // its number in topicNames
	sequence uint64
}

// topicNames numbers topics.
type topicNames struct {
	numbers map[string]uint32
	names   []string // the name of anyTopic is empty
}

func newTopicNames() topicNames {
	return topicNames{numbers: make(map[string]uint32), names: []string{""}}
}

// number returns the number of a topic. It gives a new topic a number if there is room.
func (n *topicNames) number(topic []byte) uint32 {
	if number, known := n.numbers[string(topic)]; known {
		return number
	}
	if len(n.names) > maxTopicNames || len(topic) > maxTopicName || len(topic) == 0 {
		return anyTopic
	}
	number := uint32(len(n.names))
	name := string(topic)
	n.numbers[name] = number
	n.names = append(n.names, name)
	return number
}

// name returns the name of a topic, empty for a number that stands for several topics.
func (n *topicNames) name(topic uint32) string {
	if topic == elsewhereTopic {
		return ""
	}
	return n.names[topic]
}

// noteTopic raises the entry of a message's topic. The entry moves to the front, which makes
// the next message of the topic fast.
func (t *table) noteTopic(p *publisher, topic []byte, sequence uint64) {
	if len(p.topics) > 0 && len(topic) > 0 && t.topics.name(p.topics[0].topic) == string(topic) {
		p.topics[0].sequence = sequence
		return
	}
	p.raiseTopic(topicHighest{t.topics.number(topic), sequence})
}

// raiseTopic raises the entry of a topic, or the entry of anyTopic if the publisher has too
// many topics.
func (p *publisher) raiseTopic(m topicHighest) {
	anyIndex := -1
	for i, e := range p.topics {
		if e.topic == m.topic {
			p.topics[i].sequence = max(m.sequence, e.sequence)
			p.topics[0], p.topics[i] = p.topics[i], p.topics[0]
			return
		}
		if e.topic == anyTopic {
			anyIndex = i
		}
	}
	switch {
	case m.topic == anyTopic || m.topic == elsewhereTopic || len(p.topics) < maxTopics:
		p.topics = append(p.topics, m)
	case anyIndex < 0:
		p.topics = append(p.topics, topicHighest{anyTopic, m.sequence})
	default:
		p.topics[anyIndex].sequence = max(p.topics[anyIndex].sequence, m.sequence)
	}
}

// topicNames codes the names of topics.
func (c *coder) topicNames(n *topicNames) {
	names := n.names[1:]
	codeList(c, &names, 1, (*coder).text)
	for i, name := range names { // names is without anyTopic; a repeated name is bad, and so is one beyond the bounds
		c.require(!c.reading || n.number([]byte(name)) == uint32(i+1))
	}
}

// topicHighests codes the topic entries of a publisher.
func (c *coder) topicHighests(p *publisher, names int) {
	codeList(c, &p.topics, 1+1, func(c *coder, m *topicHighest) {
		topic, below := uint64(m.topic), p.have-m.sequence
		c.uvarint(&topic)
		c.uvarint(&below)
		c.require((topic < uint64(names) || topic == elsewhereTopic) && below <= p.have)
		if c.reading && !c.Bad {
			*m = topicHighest{uint32(topic), p.have - below}
		}
	})
	c.require(len(p.topics) <= maxTopics+2)
}

// setRemoved sets the removed sequences of a publisher from the head of the oldest segment.
func (t *table) setRemoved(head *table, state *publisher) {
	p := t.byID[state.id]
	if p == nil {
		return
	}
	p.removed, p.removedCRC = state.have, state.state().RunningCRC
	p.removedTopics = p.removedTopics[:0]
	for _, m := range state.topics {
		if m.topic == elsewhereTopic || failpoint.On(failpoint.R9TopicForgotten) {
			continue
		}
		m.topic = t.topics.number([]byte(head.topics.names[m.topic]))
		p.removedTopics = append(p.removedTopics, m)
	}
}

// RemovedMatching returns the publishers of which retention has removed matching messages, each
// with the highest sequence of these. Messages that were removed elsewhere match, because
// their topics are not known. place is the vector of a subscription's place.
//
// If place does not name a publisher, sequences up to the one at which it was closed do not
// count (R10). If later messages of it were removed, RemovedMatching adds the publisher to
// place with that sequence.
func (j *Journal) RemovedMatching(matches func(topic []byte) bool, place bookmark.Vector) bookmark.Vector {
	wanted, v := j.wanted(matches), make(bookmark.Vector)
	j.eachPublisher(func(p *publisher) {
		n := p.highestRemoved(wanted)
		if n > p.closedUpTo || n > 0 && (place[p.id] > 0 || failpoint.On(failpoint.R10ClosedIsRemoved)) {
			v[p.id] = n
			if place != nil && place[p.id] == 0 && p.closedUpTo > 0 {
				place[p.id] = p.closedUpTo
			}
		}
	})
	return v
}

// NeverMatching returns the publishers whose messages cannot match, neither those in the log
// nor those that were in it earlier, each with its highest sequence. The place of a
// subscription need not name them, and its replay need not read them (R9). NeverMatching leaves
// out publishers with too many topics, or with messages that were not logged here, because
// their topics are not all known.
func (j *Journal) NeverMatching(matches func(topic []byte) bool) bookmark.Vector {
	wanted, v := j.wanted(matches), make(bookmark.Vector)
	j.eachPublisher(func(p *publisher) {
		if !p.mayMatch(wanted) {
			v[p.id] = p.have
		}
	})
	return v
}

// TopicsKnown reports whether the table knows all topics of a publisher by name. If not, its
// removed messages will count as messages of any topic (R9).
func (j *Journal) TopicsKnown(publisher uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.table.byID[publisher]
	return p != nil && !slices.ContainsFunc(p.topics, func(m topicHighest) bool { return m.topic == anyTopic || m.topic == elsewhereTopic })
}

// wanted reports for each topic number whether its topic matches.
func (j *Journal) wanted(matches func(topic []byte) bool) []bool {
	j.mu.Lock()
	names := j.table.topics.names // append-only
	j.mu.Unlock()
	wanted := make([]bool, len(names))
	for n, name := range names {
		wanted[n] = n == anyTopic || matches([]byte(name))
	}
	return wanted
}

// isWanted reports whether a topic matches. A topic that is newer than the list wanted
// matches.
func isWanted(wanted []bool, topic uint32) bool {
	return int64(topic) >= int64(len(wanted)) || wanted[topic]
}

func (p *publisher) mayMatch(wanted []bool) bool {
	return !failpoint.On(failpoint.R9LeftOutAll) &&
		slices.ContainsFunc(p.topics, func(m topicHighest) bool {
			return isWanted(wanted, m.topic) && !(m.topic == elsewhereTopic && failpoint.On(failpoint.R9ElsewhereLeftOut))
		})
}

// highestRemoved returns the highest removed sequence on the wanted topics.
func (p *publisher) highestRemoved(wanted []bool) (highest uint64) {
	if p.floor > p.removed {
		return p.floor
	}
	for _, m := range p.removedTopics {
		if isWanted(wanted, m.topic) {
			highest = max(highest, m.sequence)
		}
	}
	return min(highest, p.floor)
}

//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// A finding is the result of the checker for a run.
type finding struct {
	accepted  int // messages whose Publish returned nil
	doubtful  int // more, whose publisher was killed over them
	safe      int // acknowledged as safe
	delivered map[string]int
	stored    map[string]int
	found     []checker.Violation
}

// judge judges a run by its directory: the history, the dumps of both
// journals, the databases of the subscribers.
func judge(dir string) (finding, error) {
	f := finding{delivered: make(map[string]int), stored: make(map[string]int)}
	e := evidence{readers: make(map[string]*checker.Reader), safe: make(map[string]uint64)}
	if err := readLines(filepath.Join(dir, "history.jsonl"), e.add); err != nil {
		return f, err
	}
	for _, host := range []string{hostA, hostB} {
		j, err := readDump(host, filepath.Join(dir, "journal-"+host+".jsonl"))
		if err != nil {
			return f, err
		}
		f.stored[host] = len(j.Records)
		e.Journals = append(e.Journals, j)
	}
	for _, host := range []string{hostX, hostY} {
		n, err := e.discarded("subscriber-"+host, filepath.Join(dir, "subscriber-"+host+".db"))
		if err != nil {
			return f, err
		}
		f.delivered[host] = n
	}
	for _, m := range e.Published {
		if m.Fate == checker.Accepted {
			f.accepted++
		} else {
			f.doubtful++
		}
	}
	for name, through := range e.safe {
		f.safe += int(through)
		e.LetGo = append(e.LetGo, e.letGo(name, through))
	}
	f.found = e.Check()
	return f, nil
}

// An evidence is the history of a run while it is read.
type evidence struct {
	checker.History
	readers map[string]*checker.Reader
	safe    map[string]uint64 // by publisher
}

// add takes in a word.
func (e *evidence) add(w historyEvent) {
	switch w.Kind {
	case eventPublished, eventDoubtful:
		m := &checker.Publication{App: w.Client, N: int(w.N), Topic: topicOf(w.Client), Body: keyOf(w.Client, w.N), Sequence: w.Sequence}
		if w.Kind == eventPublished {
			m.Fate = checker.Accepted
		}
		e.Published = append(e.Published, m)
	case eventAcked:
		if !w.Single {
			e.safe[w.Client] = max(e.safe[w.Client], w.Sequence)
		}
	case eventBegun: // an earlier process may have been killed before it could say so
		for r := e.reader(w.Client); uint64(len(r.Processes)) < w.N; {
			r.Processes = append(r.Processes, nil)
		}
	case eventHanded:
		lives := e.reader(w.Client).Processes
		life := &lives[len(lives)-1]
		*life = append(*life, &checker.Delivery{Bookmark: bookmark.Bookmark{Publisher: w.ID, Sequence: w.Sequence}, Body: keyOf(w.Publisher, w.N)})
	case eventStrange:
		e.Errors = append(e.Errors, w.Client+": "+w.Text)
	}
}

func (e *evidence) reader(name string) *checker.Reader {
	r := e.readers[name]
	if r == nil {
		r = &checker.Reader{Name: name}
		e.readers[name] = r
		e.Readers = append(e.Readers, r)
	}
	return r
}

// discarded takes in a subscriber's database, in which each entry is a message and its
// discard, and returns the number of entries. Each message must be there in the end,
// once. A message whose process was killed before the commit is handed over again.
func (e *evidence) discarded(subscriber, database string) (n int, err error) {
	type keeping struct {
		key  string
		life int
	}
	kept := make(map[keeping]int)
	err = readReceived(database, func(key string, life int) {
		n++
		kept[keeping{key, life}]++
	})
	r := e.reader(subscriber)
	for i, life := range r.Processes {
		for _, m := range life {
			k := keeping{m.Body, i + 1}
			if kept[k] > 0 {
				m.State = checker.DiscardDurable
				kept[k]--
			} else if i == len(r.Processes)-1 {
				e.Errors = append(e.Errors, fmt.Sprintf("%s was handed %s and did not keep it", subscriber, m.Body))
			}
		}
	}
	for k, left := range kept {
		if left > 0 {
			e.Errors = append(e.Errors, fmt.Sprintf("%s kept %s more often than it was handed it", subscriber, k.key))
		}
	}
	return n, err
}

// letGo returns the event that a publisher's store let go of all messages acknowledged as
// safe. They were on both disks then and must be in both journals in the end.
func (e *evidence) letGo(name string, through uint64) checker.LetGoEvent {
	l := checker.LetGoEvent{App: name, Through: bookmark.Bookmark{Sequence: through}, Durable: make(map[string]bookmark.Bookmark)}
	for _, j := range e.Journals {
		l.Durable[j.Instance] = bookmark.Bookmark{}
		for _, r := range j.Records {
			if r.Kind == journal.Message && r.Topic == topicOf(name) {
				l.Durable[j.Instance], l.Through.Publisher = r.Bookmark, r.Publisher
			}
		}
	}
	return l
}

// dumpTo writes the records of a stopped instance's journal to a file.
func dumpTo(journal, file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	lines := json.NewEncoder(w)
	err = dumpJournal(journal, func(r record, body []byte) error {
		if r.Kind == frameMessage {
			var err error
			if r.Name, r.N, err = readBody(body); err != nil {
				return err
			}
		}
		return lines.Encode(r)
	})
	return errors.Join(err, w.Flush(), out.Close())
}

// readDump reads the file of dumpTo.
func readDump(instance, file string) (checker.Journal, error) {
	j := checker.Journal{Instance: instance}
	err := readLines(file, func(r record) {
		s := checker.Record{Bookmark: bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence},
			Prev: r.Prev, Kind: journal.Kind(r.Kind), Topic: r.Topic, Sum: r.Sum}
		if r.Kind == frameMessage {
			s.Body = keyOf(r.Name, r.N)
		}
		j.Records = append(j.Records, s)
	})
	return j, err
}

// readLines calls fn with each line of a file of JSON lines.
func readLines[T any](file string, fn func(T)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var t T
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fn(t)
	}
}

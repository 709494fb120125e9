package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/topic"
)

const (
	// interestSteps bounds the cost per topic byte of matching the patterns of all sessions.
	// Sessions with patterns beyond this bound are woken for every message.
	interestSteps = 1024
	interestKnown = 256 // topics whose matching patterns are remembered
)

// interests indexes the patterns of all sessions' subscriptions, to find the sessions that may want
// a message. It is not safe for concurrent use.
type interests struct {
	literal map[string]*interest
	pattern map[string]*interest
	steps   int                    // of pattern
	others  interest               // subscriptions whose patterns would exceed interestSteps
	cache   map[string][]*interest // matching entries of pattern by topic; cleared when pattern changes
}

// An interest is one pattern with the number of subscriptions that each session has for it.
type interest struct {
	pattern  topic.Pattern
	sessions map[*Session]int
}

func newInterests() interests {
	return interests{
		literal: make(map[string]*interest), pattern: make(map[string]*interest), cache: make(map[string][]*interest),
		others: interest{sessions: make(map[*Session]int)},
	}
}

// add adds a subscription. It returns the entry that remove needs.
func (i *interests) add(p topic.Pattern, s *Session) *interest {
	all := i.literal
	if !p.IsLiteral() {
		all = i.pattern
	}
	in := all[p.String()]
	switch {
	case in == nil && i.steps+p.Steps() > interestSteps:
		in = &i.others
	case in == nil:
		in = &interest{pattern: p, sessions: make(map[*Session]int)}
		all[p.String()] = in
		if i.steps += p.Steps(); !p.IsLiteral() {
			clear(i.cache)
		}
	}
	in.sessions[s]++
	return in
}

// remove removes a subscription from the entry in.
func (i *interests) remove(in *interest, s *Session) {
	if in.sessions[s]--; in.sessions[s] > 0 {
		return
	}
	delete(in.sessions, s)
	if len(in.sessions) > 0 || in == &i.others {
		return
	}
	p := in.pattern
	if p.IsLiteral() {
		delete(i.literal, p.String())
		return
	}
	delete(i.pattern, p.String())
	i.steps -= p.Steps()
	clear(i.cache)
}

// each calls f with every session that may have a subscription for the topic. It may call f more
// than once with the same session.
func (i *interests) each(topic []byte, f func(*Session)) {
	if in := i.literal[string(topic)]; in != nil {
		in.each(f)
	}
	for _, in := range i.matching(topic) {
		in.each(f)
	}
	i.others.each(f)
}

func (in *interest) each(f func(*Session)) {
	for s := range in.sessions {
		f(s)
	}
}

// matching returns the entries of pattern that match a topic.
func (i *interests) matching(topic []byte) []*interest {
	matching, known := i.cache[string(topic)]
	if known || len(i.pattern) == 0 {
		return matching
	}
	for _, in := range i.pattern {
		if in.pattern.Match(topic) {
			matching = append(matching, in)
		}
	}
	if len(i.cache) >= interestKnown {
		clear(i.cache)
	}
	i.cache[string(topic)] = matching
	return matching
}

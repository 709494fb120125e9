package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/server"
)

// A statusState is the state of an instance or of all of them. A later one is worse.
type statusState int

const (
	stateOK          statusState = iota
	stateDegraded                // it passes by itself, or is a stop, and everything acknowledged is kept meanwhile
	stateUnreachable             // an instance does not answer
	stateWrong                   // an operator has to look
)

var stateWords = [...]string{"ok", "degraded", "unreachable", "wrong"}

// stateCodes are the exit codes of status --brief.
var stateCodes = [...]int{exitOK, exitDegraded, exitUnreachable, exitFault}

func (s statusState) String() string { return stateWords[s] }

// MarshalText implements encoding.TextMarshaler.
func (s statusState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *statusState) UnmarshalText(text []byte) error {
	at := slices.Index(stateWords[:], string(text))
	if at < 0 {
		return fmt.Errorf("%q is not a state", text)
	}
	*s = statusState(at)
	return nil
}

// passing are the kinds of problems that make an instance degraded, not wrong.
var passing = []string{
	"stopping", "not_ready", "catching_up", "lacks", "single", "link_down", "link_catching_up", "downgraded", "decree", "users", "certificate",
}

// stateOf returns the state that a kind of problem stands for.
func stateOf(kind string) statusState {
	switch {
	case kind == "unreachable":
		return stateUnreachable
	case slices.Contains(passing, kind):
		return stateDegraded
	}
	return stateWrong
}

// problemsOf returns the kinds of problems of an instance, each once, with those of all instances
// together, and the worst of their states.
func (r *statusReport) problemsOf(in *instanceReport) (kinds []string, state statusState) {
	for _, p := range r.Problems {
		if p.Instance == in.name() || p.Instance == "" && in.Status != nil {
			state = max(state, p.State)
			if !slices.Contains(kinds, p.Kind) {
				kinds = append(kinds, p.Kind)
			}
		}
	}
	return kinds, state
}

// printBrief prints one line for each instance.
func (r *statusReport) printBrief(o *output) {
	for i := range r.Instances {
		in := &r.Instances[i]
		kinds, state := r.problemsOf(in)
		o.printf("%s\n", strings.Join(append(in.briefWords(state), "problems="+cmp.Or(strings.Join(kinds, ","), "-")), " "))
	}
}

// briefWords returns the words of an instance's line, except its problems.
func (i *instanceReport) briefWords(state statusState) []string {
	name, role, sync, inSync, lacks, left := "-", "-", "-", "-", "-", "-"
	if s := i.Status; s != nil {
		name, role, sync, inSync = quoteIfNeeded(i.name()), cmp.Or(string(s.Role), "-"), syncText(s.Sync), "no"
		if s.InSync.InSync {
			inSync = "yes"
		}
		records, ms := comingTo(s)
		if lacks = fmt.Sprint(records); ms >= 0 {
			left = fmt.Sprintf("%ds", int64(secondsUp(ms).Seconds()))
		}
	}
	return []string{name, state.String(), "address=" + i.Address, "role=" + role, "sync=" + sync, "in_sync=" + inSync, "lacks=" + lacks, "left=" + left}
}

// comingTo returns how many records the peers have yet to send to an instance, the most of any
// peer, and how many milliseconds that takes, -1 if it cannot be told.
func comingTo(s *server.Status) (records uint64, ms int64) {
	for _, l := range s.Links {
		if h := l.Receiving; h != nil && h.Remaining > records {
			records, ms = h.Remaining, h.LeftMS
		}
	}
	return records, ms
}

// briefError returns the error whose exit code tells the state, nil if all is well.
func (r *statusReport) briefError() error {
	switch r.State {
	case stateOK:
		return nil
	case stateWrong:
		return errFault
	}
	return &exitError{stateCodes[r.State], errPrinted}
}

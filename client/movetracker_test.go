package client

import (
	"errors"
	"testing"
	"time"
)

func TestMoveTracker(t *testing.T) {
	var tr moveTracker
	lost, refused := errors.New("lost"), errors.New("refused")
	arrive := func(server string) (Move, bool) { return tr.loggedOn(server, time.Unix(7, 0)) }
	leave := func(server string, err error) { tr.attemptEnded(&ConnectError{Server: server, Err: err}) }

	leave("a", refused)
	if m, moved := arrive("b"); !moved || m.From != "" || m.To != "b" || m.Err != nil || len(m.Failed) != 1 || m.Failed[0].Server != "a" {
		t.Errorf("the first: %+v, %v", m, moved)
	}
	leave("b", lost)
	if m, moved := arrive("b"); moved {
		t.Errorf("a reconnect: %+v", m)
	}
	leave("b", lost)
	leave("b", refused)
	leave("c", lost)
	leave("c", refused)
	m, moved := arrive("a")
	if !moved || m.From != "b" || m.To != "a" || m.Err != lost || !m.At.Equal(time.Unix(7, 0)) {
		t.Errorf("a move: %+v, %v", m, moved)
	}
	if len(m.Failed) != 2 || m.Failed[0].Server != "b" || m.Failed[1].Err != refused {
		t.Errorf("it passed %v", m.Failed)
	}
}

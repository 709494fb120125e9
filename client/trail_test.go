package client

import (
	"errors"
	"testing"
	"time"
)

func TestTrail(t *testing.T) {
	var tr trail
	lost, refused := errors.New("lost"), errors.New("refused")
	arrive := func(server string) (Move, bool) { return tr.arrive(server, time.Unix(7, 0)) }
	leave := func(server string, err error) { tr.leave(&ConnectError{Server: server, Err: err}) }

	leave("a", refused)
	if m, moved := arrive("b"); !moved || m.From != "" || m.To != "b" || m.Err != nil || len(m.Passed) != 1 || m.Passed[0].Server != "a" {
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
	if len(m.Passed) != 2 || m.Passed[0].Server != "b" || m.Passed[1].Err != refused {
		t.Errorf("it passed %v", m.Passed)
	}
}

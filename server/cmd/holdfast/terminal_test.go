package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/tmux"
	"github.com/holdfast-mq/holdfast/internal/visible"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// asCommand returns a path under which the program of the tests is the command.
func asCommand(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "holdfast")
	if err := os.Symlink(os.Args[0], name); err != nil {
		t.Skipf("the command cannot get its name here: %v", err)
	}
	return name
}

// Control characters in bodies are escaped on a terminal, also with --json. With --raw
// they are not.
func TestTerminalBodies(t *testing.T) {
	i := servertest.New(t, servertest.Real())
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(strings.Join(tmux.Hostile, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri := "tcp://" + i.Addr() + "/amps/json"
	command := asCommand(t)
	subscribe := fmt.Sprintf(`"$0" subscribe --server %s --topic t --from epoch --count %d`, uri, len(tmux.Hostile))
	publish := fmt.Sprintf(`"$0" publish --server %s --topic t --file "$1" 2>&1;`, uri)
	text := tmux.Start(t, publish+subscribe, command, in).Check()
	for _, body := range tmux.Hostile {
		if want := visible.Text(body); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	tmux.Start(t, subscribe+" --json", command).Check()
	raw := tmux.Start(t, subscribe+" --raw | cat -v", command)
	if text := raw.Check(); !strings.Contains(text, "^[]0;owned^Gtitle") {
		t.Errorf("a pipe gets other bytes:\n%s", text)
	}
}

// Control characters in the answers of a server are escaped on a terminal.
func TestTerminalAnswers(t *testing.T) {
	command := asCommand(t)
	for _, sub := range []string{"ping %s", "subscribe --server %s --topic t --timeout 1s", "publish --server %s --topic t --file /dev/null --timeout 1s"} {
		for _, status := range []string{"success", "failure"} {
			uri := "tcp://" + hostileServer(t, status) + "/amps/json"
			tmux.Start(t, `timeout 5 "$0" `+fmt.Sprintf(sub, uri), command).Check()
		}
	}
}

// hostileServer starts a server that answers each command with an ack full of hostile
// texts. It returns the server's address.
func hostileServer(t *testing.T, status string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerHostile(conn, status)
		}
	}()
	return l.Addr().String()
}

func answerHostile(conn net.Conn, status string) {
	defer conn.Close()
	text := strings.Join(tmux.Hostile, "\n")
	for r := wire.NewReader(conn, 1<<20); ; {
		frame, err := r.Next()
		var m wire.Message
		if err != nil || wire.Parse(frame, &m) != nil {
			return
		}
		answer, _ := json.Marshal(map[string]any{
			"c": "ack", "a": "processed", "cid": string(m.CommandID), "status": status, "reason": text, "version": text,
			"client_name": text, "user_id": text, "instance": text, "sync": text, "peers": []string{text},
		})
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// Control characters in the status of instances are escaped on a terminal.
func TestTerminalStatus(t *testing.T) {
	text := strings.Join(tmux.Hostile, "\n")
	s := &server.Status{Name: text, Group: text, Version: text, Cluster: text, Damage: text, Outdated: text, Refusing: []string{text}, Sync: server.SyncStatus(0),
		Sessions: []server.SessionStatus{{Name: text, User: text, Address: text}},
		Links:    []server.LinkStatus{{Peer: text, State: text, Ack: text, Reason: text}, {Peer: "b", State: "down", Reason: text}}}
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(s) }))
	t.Cleanup(admin.Close)
	address := strings.TrimPrefix(admin.URL, "http://")
	command := asCommand(t)
	tmux.Start(t, `"$0" status `+address, command).Check()
	tmux.Start(t, `"$0" status --json `+address, command).Check()
}

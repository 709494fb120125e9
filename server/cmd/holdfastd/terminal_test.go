package main_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/tmux"
)

// No text that clients or strangers send can affect a terminal that shows the log.
func TestTerminal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	for _, form := range []string{"text", "json"} {
		t.Run(form, func(t *testing.T) {
			ports, dir := heldPorts(t), t.TempDir()
			file := write(t, dir, fmt.Sprintf("name: a\ngroup: g\ndata: journal\nclients: {listen: %q}\nreplication: {listen: %q, destinations: [{name: b}]}\n"+
				"admin: {listen: %q}\nrejoin_timeout: 10ms\nlogging: {format: %s}\n", ports[0], ports[1], ports[2], form))
			pid := filepath.Join(dir, "pid")
			terminal := tmux.Start(t, `"$0" -config "$1" -bootstrap & echo $! >"$2"; wait $!`, daemon, file, pid)
			terminal.Await("ready name=a")
			for _, text := range tmux.Hostile {
				sendHostile(t, ports, text)
			}
			terminal.Await("client gone")
			b, err := os.ReadFile(pid)
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			process, err := os.FindProcess(n)
			if err == nil {
				err = process.Signal(syscall.SIGTERM)
			}
			if err != nil {
				t.Fatal(err)
			}
			terminal.Check()
		})
	}
}

// sendHostile sends a text in every place: as names and topics of a client, and as malformed
// frames.
func sendHostile(t *testing.T, ports [3]string, text string) {
	t.Helper()
	var frames []byte
	for _, command := range []map[string]any{
		{"c": "logon", "cid": "0", "client_name": text, "user_id": text, "a": "processed"},
		{"c": "subscribe", "cid": text, "sub_id": text, "t": text, "a": "processed"},
		{"c": "p", "cid": "2", "t": text, "a": "processed"},
		{"c": text, "cid": text},
	} {
		b, err := json.Marshal(command)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(binary.BigEndian.AppendUint32(frames, uint32(len(b))), b...)
	}
	raw := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	for _, port := range ports {
		for _, sent := range [][]byte{frames, raw, []byte(text + "\r\n\r\n"), []byte("GET /" + text + " HTTP/1.1\r\nHost: " + text + "\r\n\r\n")} {
			conn, err := net.Dial("tcp", port)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(patience))
			_, _ = conn.Write(sent)
			_ = conn.(*net.TCPConn).CloseWrite()
			for b := make([]byte, 4096); err == nil; {
				_, err = conn.Read(b)
			}
			conn.Close()
		}
	}
}

package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// adminInstance starts an instance with an admin port.
func adminInstance(t *testing.T) *servertest.Instance {
	return servertest.New(t, servertest.Config(func(c *server.Config) { c.Admin.Listen = "a:8085" }))
}

// lingerTime is more than the time for which net/http waits for the other side after a response
// that ends a connection.
const lingerTime = time.Second

// awaitClosed waits until the other side has closed a connection.
func awaitClosed(t *testing.T, c *raw, within time.Duration) (read int64, in bool) {
	t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	read, _ = io.Copy(io.Discard, c.conn)
	return read, time.Since(began) < within
}

// The admin port limits the time, size and number of requests. It does not read a body: a multipart
// body used to be written to the temporary directory, and its fields counted as fields of the
// query.
func TestAdminBounds(t *testing.T) {
	const form = "--x\r\nContent-Disposition: form-data; name=\"limit\"\r\n\r\n1x\r\n--x--\r\n"
	for name, b := range map[string]string{
		"silent":       "",
		"half a line":  "GET /li",
		"half headers": "GET /livez HTTP/1.1\r\nHost: a\r\n",
		"half a body":  "POST /publishers HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx",
		"idle":         "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := dialAdmin(t, adminInstance(t))
			c.bytes(b)
			if _, in := awaitClosed(t, c, time.Minute); !in {
				t.Errorf("%s: the connection stays", name)
			}
		})
	}
	for name, request := range map[string]string{
		"multipart": "GET /publishers HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n" +
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(form), form),
		"chunked": "GET /status HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := dialAdmin(t, adminInstance(t))
			c.bytes(request)
			r, err := http.ReadResponse(newBufio(c.conn), nil)
			if err != nil || r.StatusCode != http.StatusRequestEntityTooLarge || !r.Close {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			time.Sleep(lingerTime)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := dialAdmin(t, adminInstance(t))
		c.bytes("GET /livez HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n")
		if r, err := http.ReadResponse(newBufio(c.conn), nil); err != nil || r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a long header: %+v, %v", r, err)
		}
		time.Sleep(lingerTime)
	})
}

// Clients that keep connections to the admin port open cannot keep others out.
func TestAdminConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := adminInstance(t)
		var held []*raw
		for range 200 {
			held = append(held, dialAdmin(t, i))
			synctest.Wait()
		}
		c := dialAdmin(t, i)
		c.bytes("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
		if r, err := http.ReadResponse(newBufio(c.conn), nil); err != nil || r.StatusCode != 200 || r.ContentLength != 0 {
			t.Errorf("one more: %+v, %v", r, err)
		}
		for n, h := range held[:200-16+1] {
			if _, in := awaitClosed(t, h, time.Second); !in {
				t.Fatalf("connection %d of 201 is kept", n+1)
			}
		}
	})
}

// The server gives up a response that nobody reads.
func TestAdminUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := adminInstance(t)
		c := dialAdmin(t, i)
		const requests = 20_000
		asked := make(chan struct{})
		go func() { // blocks once the buffers of both directions are full
			defer close(asked)
			_, _ = io.WriteString(c.conn, strings.Repeat("GET /status HTTP/1.1\r\nHost: a\r\n\r\n", requests))
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case <-asked:
		default:
			t.Error("the connection is kept")
		}
		c.conn.Close()
		<-asked
	})
}

// /status has a page of the sessions, in the order of their names.
func TestAdminStatusPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := adminInstance(t)
		var want []string
		for n := range 5 {
			name := fmt.Sprintf("client %d", n)
			dial(t, i).logon(name)
			want = append(want, name)
		}
		var got []string
		for more, query := true, "?limit=2"; more; {
			c := dialAdmin(t, i)
			c.bytes("GET /status" + query + " HTTP/1.0\r\n\r\n")
			r, err := http.ReadResponse(newBufio(c.conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			var st server.Status
			if err := json.NewDecoder(r.Body).Decode(&st); err != nil || len(st.Sessions) == 0 || len(st.Sessions) > 2 {
				t.Fatalf("%+v, %v", st, err)
			}
			for _, s := range st.Sessions {
				got = append(got, s.Name)
			}
			more, query = st.SessionsMore, "?limit=2&after="+strings.ReplaceAll(got[len(got)-1], " ", "+")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

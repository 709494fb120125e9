package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The answer to an order says how far it got, also while servers are dead. Each order is
// worked on once. One whose work always fails goes to the failed topic.
func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		config := pair.Client("order-service")
		config.Hooks.FailedWrite = rejected
		c, err := client.Dial(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		var done []string
		consumed := make(chan error)
		go func() {
			consumed <- consume(c, func(_ context.Context, order []byte) error {
				if string(order) == `"cursed"` {
					return errors.New("no such item")
				}
				done = append(done, string(order))
				return nil
			})
		}()
		handler := routes(c)
		post := func(order string, want int) {
			t.Helper()
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(order)))
			if w.Code != want {
				t.Errorf("POST %s: %d %s, want %d", order, w.Code, w.Body, want)
			}
		}
		post(`"book"`, http.StatusCreated)
		post(`no JSON`, http.StatusBadRequest)
		post(`"`+strings.Repeat("x", maxBody)+`"`, http.StatusRequestEntityTooLarge)
		pair.A.Kill()
		pair.B.Kill()
		post(`"pen"`, http.StatusAccepted)
		pair.A.Restart()
		pair.B.Restart()
		if err := c.Flush(t.Context()); err != nil { // the client has found a server again
			t.Fatal(err)
		}
		post(`"cursed"`, http.StatusCreated)
		post(`"lamp"`, http.StatusCreated)
		pair.AwaitConverged()

		failed, err := c.Subscribe(t.Context(), "^orders\\.failed$", client.ID("failed"), client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		for m, err := range failed.Messages(t.Context()) {
			if err != nil || string(m.Body) != `"cursed"` {
				t.Errorf("failed order: %s, %v", m.Body, err)
			}
			break
		}
		synctest.Wait()
		if err := c.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-consumed; err != nil {
			t.Error(err)
		}
		if want := []string{`"book"`, `"pen"`, `"lamp"`}; !slices.Equal(done, want) {
			t.Errorf("worked on %s, want %s", done, want)
		}
	})
}

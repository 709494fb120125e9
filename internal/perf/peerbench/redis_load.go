//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// redisRead is the maximum number of messages of one XREAD.
const redisRead = 1000

// loadRedis runs Redis' clients and answers with a sample.
func loadRedis(spec []byte) error {
	var j redisJob
	return loadFlow(spec, &j, &j.job, j.connect)
}

// connect waits until the replica follows the primary.
func (j *redisJob) connect(ctx context.Context) (flow, error) {
	c, err := j.dial()
	if err != nil {
		return flow{}, err
	}
	for {
		info, err := c.Do(ctx, c.B().Info().Section("replication").Build()).ToString()
		if err != nil {
			return flow{}, err
		}
		if strings.Contains(info, "state=online") {
			break
		}
		if pause(ctx, 10*time.Millisecond); ctx.Err() != nil {
			return flow{}, fmt.Errorf("wait for the replica: %w", ctx.Err())
		}
	}
	return flow{j.publisher(c), j.reader}, nil
}

// dial returns one connection.
func (j *redisJob) dial() (rueidis.DedicatedClient, error) {
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{j.Primary}, ForceSingleClient: true, DisableCache: true, DisableRetry: true,
	})
	if err != nil {
		return nil, err
	}
	one, _ := c.Dedicate() // until the process ends
	return one, nil
}

// publisher sends a window of XADD followed by WAIT 1, and continues when all are
// answered. WAITAOF, from 7.2 on, would promise the replica's disk, but the replica
// reports its syncs once a second: 3.8k msg/s in B1, and a second per message in B2.
func (j *redisJob) publisher(c rueidis.DedicatedClient) func(context.Context, int) error {
	add := c.B().Xadd().Key(stream).Id("*").FieldValue().FieldValue("d", string(body(1, j.Size))).Build().Pin()
	await := c.B().Arbitrary("WAIT", "1", "0").Build().Pin()
	batch := append(slices.Repeat([]rueidis.Completed{add}, window), await)
	return func(ctx context.Context, n int) error {
		for ; n > 0; n -= window {
			for _, r := range c.DoMulti(ctx, batch[max(0, window-n):]...) {
				if err := r.Error(); err != nil {
					return fmt.Errorf("publish: %w", err)
				}
			}
		}
		return nil
	}
}

// reader reads the stream from the beginning, and waits at the end for more.
func (j *redisJob) reader(ctx context.Context) (read func(n int) error, err error) {
	c, err := j.dial()
	if err != nil {
		return nil, err
	}
	return func(n int) error {
		last := "0"
		for got := 0; got < n; {
			entries, err := c.Do(ctx, c.B().Xread().Count(redisRead).Block(1000).Streams().Key(stream).Id(last).Build()).AsXReadSlices()
			if rueidis.IsRedisNil(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read: %w", err)
			}
			all := entries[stream]
			got, last = got+len(all), all[len(all)-1].ID
		}
		return nil
	}, nil
}

package breakit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// keyWeights is how often -auto presses each key, relative to the others.
var keyWeights = []struct {
	key    byte
	chance int
}{{'k', 4}, {'K', 4}, {'s', 2}, {'S', 2}, {'c', 3}, {'w', 2}, {'W', 2}, {'r', 3}}

// drawKey draws a key.
func drawKey(rnd *rand.Rand) byte {
	sum := 0
	for _, c := range keyWeights {
		sum += c.chance
	}
	n := rnd.IntN(sum)
	for _, c := range keyWeights {
		if n -= c.chance; n < 0 {
			return c.key
		}
	}
	panic("BUG: chances don't add up")
}

// playAuto presses random keys and judges.
func playAuto(ctx context.Context, o options, dir string, command []string) (passed bool, err error) {
	fmt.Printf("seed %d\n", o.seed)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := newWorld(ctx, dir, command, o.rate, func(line string) { fmt.Println(line) })
	if err != nil {
		return false, err
	}
	defer w.close()
	defer stop() // before close, which waits for goroutines with this context
	if err := pressRandomly(ctx, w, o); err != nil {
		return false, err
	}
	r, err := w.judge(ctx)
	if err != nil {
		return false, err
	}
	for _, f := range w.lastFaults(faultLines) {
		fmt.Printf("  %-32s %s\n", f.description, f.describe())
	}
	passed, err = saveAndPrint(r, dir)
	return passed, errors.Join(w.err(), err)
}

// pressRandomly presses random keys for as long as -auto is to.
func pressRandomly(ctx context.Context, w *world, o options) error {
	rnd := rand.New(rand.NewPCG(o.seed, 0))
	p := player{w: w}
	for end := time.Now().Add(o.duration); time.Now().Before(end); {
		select {
		case <-time.After(200*time.Millisecond + time.Duration(rnd.Int64N(int64(1500*time.Millisecond)))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := w.err(); err != nil {
			return err
		}
		p.press(ctx, drawKey(rnd))
		if p.question != "" { // only the reader may risk more
			p.press(ctx, 'n')
		}
	}
	return nil
}

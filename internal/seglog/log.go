package seglog

// A Log is a segmented, append-only record log in a directory that it locks.
// It starts no goroutine: its owner decides when to write and when to sync.
// All methods are safe for concurrent use; Write and Sync take turns among
// themselves and don't block Append or readers while the disk works.
type Log struct{}

// Open opens the log in o.Dir, making it if there is none. It replays state
// into o.Owner, cuts a torn tail, writes what lies above the last durable note
// again to a fresh segment, and syncs log and directory before it returns
// (R7, R8). The error is a *DamageError where a durable record is bad.
func Open(o Options) (*Log, error) { panic("TODO") }

// Append adds a record to the tail in memory, in one piece made of parts, and
// returns its position. It is readable at once, written by the next Write.
// It may seal the segment, calling Owner.Summary and Owner.Head.
func (l *Log) Append(kind uint8, parts ...[]byte) (Position, error) { panic("TODO") }

// Write writes all that was appended to the file, headed by a note of how far
// the log is durable (R8). When it returns nil what was appended before the
// call survives the death of the process.
func (l *Log) Write() error { panic("TODO") }

// Sync writes, then makes durable all that was appended before the call, and
// returns the position behind it. An error is final: the log takes no more,
// every later call returns it (R7).
func (l *Log) Sync() (Position, error) { panic("TODO") }

// Note writes the durable position once more, for a log that falls idle, so
// that the last batch is known as durable (R8). It does nothing if it is.
func (l *Log) Note() error { panic("TODO") }

// First returns the position of the oldest record kept, End the one behind
// the newest appended, Durable the one behind what this process has synced.
func (l *Log) First() Position   { panic("TODO") }
func (l *Log) End() Position     { panic("TODO") }
func (l *Log) Durable() Position { panic("TODO") }

// Unwritten returns the bytes appended and not yet written to the file.
func (l *Log) Unwritten() int { panic("TODO") }

// Segments returns what the log consists of, oldest first.
func (l *Log) Segments() []Segment { panic("TODO") }

// Head returns the state record at the head of the segment that starts at first.
func (l *Log) Head(first Position) ([]byte, error) { panic("TODO") }

// Trim removes the segments that end at or below before. The last segment
// stays. What the owner needs to remember of them must be durable already.
func (l *Log) Trim(before Position) error { panic("TODO") }

// Size returns the bytes the log's files take on disk.
func (l *Log) Size() int64 { panic("TODO") }

// Close syncs, notes that all is durable, and releases the directory.
func (l *Log) Close() error { panic("TODO") }

// Abandon releases the directory without writing anything more, as a death
// of the process would.
func (l *Log) Abandon() error { panic("TODO") }

// A Cursor reads a log in order, from the tail in memory where it can. It
// isn't safe for concurrent use; several cursors are.
type Cursor struct{}

// Cursor returns a cursor whose first record stands at from (First, End, or a
// Record's Position or Next). A position below First starts at First.
func (l *Log) Cursor(from Position) *Cursor { panic("TODO") }

// Next returns the next record. At the end of what is appended it returns
// io.EOF and may be called again later. Seglog's own records are skipped.
// Other errors are a *DamageError, ErrClosed, or of the disk.
func (c *Cursor) Next() (Record, error) { panic("TODO") }

// Position returns where the next record will be read.
func (c *Cursor) Position() Position { panic("TODO") }

// Seek moves the cursor, see Log.Cursor.
func (c *Cursor) Seek(to Position) { panic("TODO") }

// Close releases the file the cursor holds open.
func (c *Cursor) Close() error { panic("TODO") }

// Aside returns a cursor over the good records that Open has set aside
// (Options.SetAside), in log order, nil if there are none.
func (l *Log) Aside() (*Cursor, error) { panic("TODO") }

// DropAside removes what was set aside, once its owner has what it needs of it.
func (l *Log) DropAside() error { panic("TODO") }

// Damage returns what Open found damaged and cut (Options.SetAside), or nil.
func (l *Log) Damage() *DamageError { panic("TODO") }

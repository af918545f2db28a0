package logfile

// Watches are how many of its logs' followers a program has hear of changes. A
// user has few inotify(7) instances, 128 of them as a rule, for all programs
// together; the other followers look again and again. nil is without a bound. Its
// readers may be in any goroutines.
type Watches struct{ places chan struct{} }

// NewWatches returns as many.
func NewWatches(n int) *Watches { return &Watches{make(chan struct{}, n)} }

func (w *Watches) take() bool {
	if w == nil {
		return true
	}
	select {
	case w.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (w *Watches) put() {
	if w != nil {
		<-w.places
	}
}

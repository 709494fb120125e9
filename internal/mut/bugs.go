package mut

// The bugs, each named after the rule it breaks.
const (
	// R1Holes lets an instance take a message whose predecessor it lacks.
	R1Holes Bug = "r1-holes"
	// R1RunHoles takes a run of messages whatever is missing before one of them.
	R1RunHoles Bug = "r1-run-holes"
	// R1NoDuplicateCheck journals a message that is already there again.
	R1NoDuplicateCheck Bug = "r1-no-duplicate-check"
	// R1AnyNumber takes numbers from outside that are so high that sums overflow.
	R1AnyNumber Bug = "r1-any-number"
	// R1AckedBeyondLast accepts a logon that let go of more than it has given out.
	R1AckedBeyondLast Bug = "r1-acked-beyond-last"
	// R1LeavesOut takes a message whatever it leaves out.
	R1LeavesOut Bug = "r1-leaves-out"
	// R1CoveredIsDuplicate answers every number at or below have with the watermark.
	R1CoveredIsDuplicate Bug = "r1-covered-is-duplicate"
	// R1ForeignTrusted trusts what an instance has of a life above what its store has given out.
	R1ForeignTrusted Bug = "r1-foreign-trusted"
	// R1RejectIsHole has the client not say which numbers were rejected.
	R1RejectIsHole Bug = "r1-reject-is-hole"
	// R1NewBeforeReplay sends new messages before what is kept has been replayed.
	R1NewBeforeReplay Bug = "r1-new-before-replay"
	// G1SendBeforeStore hands a message to the wire before the store has it.
	G1SendBeforeStore Bug = "g1-send-before-store"
	// G1CancelDropsDelivery takes a message out of the store when the caller's context ends.
	G1CancelDropsDelivery Bug = "g1-cancel-drops-delivery"
	// G1LetGoUntold lets a rejected message go that the application was not told of.
	G1LetGoUntold Bug = "g1-let-go-untold"
	// G2LocalAck acknowledges as safe what is durable here only.
	G2LocalAck Bug = "g2-local-ack"
	// G2LogonHave puts have(p) in the logon ack's s.
	G2LogonHave Bug = "g2-logon-have"
	// G2TicketByNeighbour settles the ticket of a rejected message by the ack of a later one.
	G2TicketByNeighbour Bug = "g2-ticket-by-neighbour"
	// G2TicketGuesses says of a message that an earlier process let go that it is safe.
	G2TicketGuesses Bug = "g2-ticket-guesses"
	// R2HelloWithoutHave begins a link at the live end instead of at the peer's vector.
	R2HelloWithoutHave Bug = "r2-hello-without-have"
	// R2AnyProof takes any proof of the link secret for a good one.
	R2AnyProof Bug = "r2-any-proof"
	// R2ProofWithoutRole leaves out of a proof which side gives it.
	R2ProofWithoutRole Bug = "r2-proof-without-role"
	// R2ProofWithoutNonces leaves out of a proof what makes it that of one connection.
	R2ProofWithoutNonces Bug = "r2-proof-without-nonces"
	// R2AnyName admits peers that the configuration does not name.
	R2AnyName Bug = "r2-any-name"
	// R2TellsStrangers tells who has proven nothing why it is refused.
	R2TellsStrangers Bug = "r2-tells-strangers"
	// R2RivalsTakeTurns links two processes of one name in turn.
	R2RivalsTakeTurns Bug = "r2-rivals-take-turns"
	// R2AnyCluster links journals of different groups.
	R2AnyCluster Bug = "r2-any-cluster"
	// R2EchoTooFar passes over all that stands between two runs that came from a peer.
	R2EchoTooFar Bug = "r2-echo-too-far"
	// R2FoundsBesideOne has two empty journals begin a group although a third one may have its records.
	R2FoundsBesideOne Bug = "r2-founds-beside-one"
	// R2FoundsAlone has an empty journal begin a group of its own.
	R2FoundsAlone Bug = "r2-founds-alone"
	// R2AdoptsWithRecords has a journal with records take over the id of a group.
	R2AdoptsWithRecords Bug = "r2-adopts-with-records"
	// R2OwnOnly sends a peer only what this instance took in itself.
	R2OwnOnly Bug = "r2-own-only"
	// R2AckOnReceipt acknowledges on the link before the fsync.
	R2AckOnReceipt Bug = "r2-ack-on-receipt"
	// R2StaleWatermark keeps what a peer acknowledged over the end of its connection.
	R2StaleWatermark Bug = "r2-stale-watermark"
	// R2HaveForgotten forgets have(p) with the records that retention removed.
	R2HaveForgotten Bug = "r2-have-forgotten"
	// R2TrimUnacknowledged lets retention remove what a destination has not acknowledged.
	R2TrimUnacknowledged Bug = "r2-trim-unacknowledged"
	// R2MarkerIsFloor takes all up to a gone marker for removed.
	R2MarkerIsFloor Bug = "r2-marker-is-floor"
	// R2SealedTooOld seals a segment at open by the age that was noted before its last messages.
	R2SealedTooOld Bug = "r2-sealed-too-old"
	// R2TrimsInDoubt removes by age while the wall clocks of two instances disagree.
	R2TrimsInDoubt Bug = "r2-trims-in-doubt"
	// R2WallClock lets retention take the age of what it removes from the wall clock.
	R2WallClock Bug = "r2-wall-clock"
	// R2StatesRepeat takes the state of a publisher any number of times in one hello.
	R2StatesRepeat Bug = "r2-states-repeat"
	// R3MarkerEarly puts an elsewhere marker before what it stands for is durable here.
	R3MarkerEarly Bug = "r3-marker-early"
	// R3NoMarker leaves out what a link does not carry without saying so.
	R3NoMarker Bug = "r3-no-marker"
	// R3SilentMove resumes a subscription elsewhere although its topic is not replicated.
	R3SilentMove Bug = "r3-silent-move"
	// R3AsyncMove resumes a bookmark subscription on a server that is fed by no synchronous link.
	R3AsyncMove Bug = "r3-async-move"
	// R3NotSaid answers a subscription to a topic that no link carries as if it were replicated.
	R3NotSaid Bug = "r3-not-said"
	// R4NoGapCheck lets a client publish to an instance that lacks what it let go of.
	R4NoGapCheck Bug = "r4-no-gap-check"
	// R4DecreeAgain lets a publisher make use of one decree again and again.
	R4DecreeAgain Bug = "r4-decree-again"
	// R4DecreeNotIntact leaves a group in which nobody is intact as it is.
	R4DecreeNotIntact Bug = "r4-decree-not-intact"
	// R4DecreeLetGo journals what a decree declares lost as let go, of which nobody is told.
	R4DecreeLetGo Bug = "r4-decree-let-go"
	// R4DecreeLinked makes a decree although an instance is connected that will not return by it.
	R4DecreeLinked Bug = "r4-decree-linked"
	// R4DecreeAlone declares lost without asking the peers that the decree does not name.
	R4DecreeAlone Bug = "r4-decree-alone"
	// R4LossUntold does not tell a publisher what its logon has found to be lost, if its store has met the incarnation.
	R4LossUntold Bug = "r4-loss-untold"
	// R2AnyIncarnation links with an instance that had no part in the decree.
	R2AnyIncarnation Bug = "r2-any-incarnation"
	// R10OldIncarnation has a client go on at a server of a lower incarnation than it has seen.
	R10OldIncarnation Bug = "r10-old-incarnation"
	// R5LetGoOnSingle lets the publish store let go of what is acknowledged single.
	R5LetGoOnSingle Bug = "r5-let-go-on-single"
	// R5NeverDowngrade keeps a dead link counting for ever although downgrade_after is set.
	R5NeverDowngrade Bug = "r5-never-downgrade"
	// R5LooksLate looks for a downgrade that has become due only when it would anyhow.
	R5LooksLate Bug = "r5-looks-late"
	// R5HeldNotCounted lets a publish that is held back wait for ever for a peer.
	R5HeldNotCounted Bug = "r5-held-not-counted"
	// R5MinSyncIgnored downgrades a destination although too few are left.
	R5MinSyncIgnored Bug = "r5-min-sync-ignored"
	// R5OneWayInSync has an instance that does not replicate back say that it is in sync.
	R5OneWayInSync Bug = "r5-one-way-in-sync"
	// R5NeverGiveUp keeps the log for an absent destination without a bound.
	R5NeverGiveUp Bug = "r5-never-give-up"
	// R5NoBound takes messages into a publish store beyond its bound.
	R5NoBound Bug = "r5-no-bound"
	// R5SaidInSync says that it is in sync while a sync destination is away, behind or left out.
	R5SaidInSync Bug = "r5-said-in-sync"
	// R6IntactUnsaid does not tell the peers that are linked that an instance has become intact.
	R6IntactUnsaid Bug = "r6-intact-unsaid"
	// R6ServeAtOnce serves clients before the instance has caught up.
	R6ServeAtOnce Bug = "r6-serve-at-once"
	// R6AwaitsAll waits at the start for every destination, asynchronous ones included.
	R6AwaitsAll Bug = "r6-awaits-all"
	// R6ForgetsPeers forgets over a restart who replicates here.
	R6ForgetsPeers Bug = "r6-forgets-peers"
	// R6WaitForEver waits for a peer that brings no progress without a bound.
	R6WaitForEver Bug = "r6-wait-for-ever"
	// R6BesideItsGroup serves with an empty journal although the group has another id.
	R6BesideItsGroup Bug = "r6-beside-its-group"
	// R6NotSaid opens without the peers and doesn't say so.
	R6NotSaid Bug = "r6-not-said"
	// R7CountsLater counts what was appended during an fsync as covered by it.
	R7CountsLater Bug = "r7-counts-later"
	// R7TrustPageCache takes what was read back at the start for durable.
	R7TrustPageCache Bug = "r7-trust-page-cache"
	// R7IgnoreSyncError goes on after a failed fsync.
	R7IgnoreSyncError Bug = "r7-ignore-sync-error"
	// R7IgnoreCommitError goes on after a failed commit of a bookmark store.
	R7IgnoreCommitError Bug = "r7-ignore-commit-error"
	// R7NoReserve opens a journal on a full disk without giving up its reserve file.
	R7NoReserve Bug = "r7-no-reserve"
	// R7NoMinFree takes publishes and records of links for as long as the disk has a byte left.
	R7NoMinFree Bug = "r7-no-min-free"
	// R5TrimsLater never gives up an absent destination although the disk is nearly full.
	R5TrimsLater Bug = "r5-trims-later"
	// R8AppendBehindTorn appends behind a torn tail.
	R8AppendBehindTorn Bug = "r8-append-behind-torn"
	// R8NewerIsDamage takes a log that a later version has written for a damaged one.
	R8NewerIsDamage Bug = "r8-newer-is-damage"
	// R8UnknownRemoved removes a segment whose header can't be read.
	R8UnknownRemoved Bug = "r8-unknown-removed"
	// R8AsideForgotten leaves out the good records behind damage.
	R8AsideForgotten Bug = "r8-aside-forgotten"
	// R8MergeLater leaves what was set aside alone until a peer sends something of its publisher.
	R8MergeLater Bug = "r8-merge-later"
	// AdminUnbounded lets whoever reaches the admin port keep connections and send bodies.
	AdminUnbounded Bug = "admin-unbounded"
	// ConfigUnbounded reads a configuration of any size and depth, with aliases.
	ConfigUnbounded Bug = "config-unbounded"
	// DAckBeforeSync has Append of a store with SyncAlways return before the sync.
	DAckBeforeSync Bug = "d-ack-before-sync"
	// DHoleIsEnd looks for nothing behind a hole in a file.
	DHoleIsEnd Bug = "d-hole-is-end"
	// DRestUnsummed takes a frame for good whose owner's sum is not that of its rest.
	DRestUnsummed Bug = "d-rest-unsummed"
	// DNoCRC takes any frame for good whose length fits.
	DNoCRC Bug = "d-no-crc"
	// DLengthTrusted takes memory for a length that a file states before it looks at what stands there.
	DLengthTrusted Bug = "d-length-trusted"
	// DLinkFollowed opens a link in a log's directory, wherever it leads.
	DLinkFollowed Bug = "d-link-followed"
	// DLockFile locks a file in the directory of a log, which can be removed.
	DLockFile Bug = "d-lock-file"
	// DNoDirSync leaves out the sync of the directory after a segment was named.
	DNoDirSync Bug = "d-no-dir-sync"
	// DStageIgnored leaves out of a log what was staged and not written.
	DStageIgnored Bug = "d-stage-ignored"
	// DStageOverwritten begins the stage again although what it holds is not written.
	DStageOverwritten Bug = "d-stage-overwritten"
	// DRenameBeforeSync gives a segment its name before it is synced.
	DRenameBeforeSync Bug = "d-rename-before-sync"
	// DCompactUnsynced gives a compact copy of a database its name before it is synced.
	DCompactUnsynced Bug = "d-compact-unsynced"
	// DScarceIsFailed takes a disk for failed because there is no file descriptor left for the moment.
	DScarceIsFailed Bug = "d-scarce-is-failed"
	// DNoRoom has a publish store take messages that its disk has no room for.
	DNoRoom Bug = "d-no-room"
	// DAnyMemory lets a session hold any amount of memory.
	DAnyMemory Bug = "d-any-memory"
	// DAnySubscriptions lets a session have any number of subscriptions.
	DAnySubscriptions Bug = "d-any-subscriptions"
	// DAnyList reads the log for any number of bookmarks of one plain subscribe.
	DAnyList Bug = "d-any-list"
	// DEndUnseen goes on with the work for a session that is ending.
	DEndUnseen Bug = "d-end-unseen"
	// DAnyTopic takes topics of any length.
	DAnyTopic Bug = "d-any-topic"
	// DAnyPatterns lets a session have patterns of any cost.
	DAnyPatterns Bug = "d-any-patterns"
	// DAnyAddress takes any number of connections from one address.
	DAnyAddress Bug = "d-any-address"
	// DStrangersStay turns connections away while there are too many that have sent no logon.
	DStrangersStay Bug = "d-strangers-stay"
	// DAnyCrowd makes sessions of all connections that send no logon, however many come.
	DAnyCrowd Bug = "d-any-crowd"
	// DWakesAll wakes all sessions for each message.
	DWakesAll Bug = "d-wakes-all"
	// DTicksTogether has sessions that were woken together look again together.
	DTicksTogether Bug = "d-ticks-together"
	// DWaitsUnseen wakes no session whose subscription waits until a message is safe.
	DWaitsUnseen Bug = "d-waits-unseen"
	// DFillsAll makes the output of all subscriptions before any of it is written.
	DFillsAll Bug = "d-fills-all"
	// DAnyID takes ids of any length.
	DAnyID Bug = "d-any-id"
	// DAnyTotal lets all sessions together hold any memory.
	DAnyTotal Bug = "d-any-total"
	// DAnyStranger lets a connection without a logon hold as much memory as a session.
	DAnyStranger Bug = "d-any-stranger"
	// DMemoryKept gives back nothing of what a session held that has ended.
	DMemoryKept Bug = "d-memory-kept"
	// DPatternsAlone compiles each pattern anew.
	DPatternsAlone Bug = "d-patterns-alone"
	// DWaitsForAll has an instance that stops wait for each session, however long it takes.
	DWaitsForAll Bug = "d-waits-for-all"
	// DNoRest matches costly patterns without a rest.
	DNoRest Bug = "d-no-rest"
	// DReadsAll has all subscriptions of a session that are behind read before it looks at anything else.
	DReadsAll Bug = "d-reads-all"
	// DSlowFrames lets a frame that has begun take any time.
	DSlowFrames Bug = "d-slow-frames"
	// DAnySessions takes clients until there is no file descriptor left.
	DAnySessions Bug = "d-any-sessions"
	// DRetrySync tries a failed fsync again.
	DRetrySync Bug = "d-retry-sync"
	// R9SingleBookmark resumes with the last bookmark instead of the vector.
	R9SingleBookmark Bug = "r9-single-bookmark"
	// R9ByPosition resumes behind the last of the bookmarks in the instance's own log.
	R9ByPosition Bug = "r9-by-position"
	// R9StretchSkipped begins behind a stretch of the journal that a vector does not cover.
	R9StretchSkipped Bug = "r9-stretch-skipped"
	// R9ReconnectIsRestart takes up a subscription after a reconnect as a new process would.
	R9ReconnectIsRestart Bug = "r9-reconnect-is-restart"
	// R9NowAgain resumes a subscription that began at NOW there again.
	R9NowAgain Bug = "r9-now-again"
	// R9NoFilter hands over what was already received.
	R9NoFilter Bug = "r9-no-filter"
	// R9DiscardMax moves the discarded point past what is not yet discarded.
	R9DiscardMax Bug = "r9-discard-max"
	// R9MarkOnArrival applies a progress mark before what was queued ahead of it.
	R9MarkOnArrival Bug = "r9-mark-on-arrival"
	// R9AnyPublishers takes any number of publishers into the place of a subscription.
	R9AnyPublishers Bug = "r9-any-publishers"
	// R9PartMissing takes a vector of which a part is missing.
	R9PartMissing Bug = "r9-part-missing"
	// R9BaseEarly applies a base that comes in parts before the last of them.
	R9BaseEarly Bug = "r9-base-early"
	// R9LeftOutAll leaves publishers with messages that match out of a place.
	R9LeftOutAll Bug = "r9-left-out-all"
	// R9ElsewhereLeftOut leaves publishers out of a place whose messages were never here.
	R9ElsewhereLeftOut Bug = "r9-elsewhere-left-out"
	// R9ManyTopicsLeftOut leaves publishers out of marks whose topics are not told apart.
	R9ManyTopicsLeftOut Bug = "r9-many-topics-left-out"
	// R9NoMarks sends no progress marks.
	R9NoMarks Bug = "r9-no-marks"
	// R9SilentGap skips what retention removed without a word.
	R9SilentGap Bug = "r9-silent-gap"
	// R9AnyTopicGap tells a subscription of a gap in messages of any topic.
	R9AnyTopicGap Bug = "r9-any-topic-gap"
	// R9TopicForgotten forgets on which topics messages were that are removed.
	R9TopicForgotten Bug = "r9-topic-forgotten"
	// R9ResumeIsEpoch resumes a place in which nothing was received as a new one.
	R9ResumeIsEpoch Bug = "r9-resume-is-epoch"
	// R9RemovedNotPassed says nothing of what was removed of other topics.
	R9RemovedNotPassed Bug = "r9-removed-not-passed"
	// R9OneWord takes one instance's gap for the group's.
	R9OneWord Bug = "r9-one-word"
	// R9NotFoundAnyway sends plain servers an option that they may not know and nobody asked for.
	R9NotFoundAnyway Bug = "r9-not-found-anyway"
	// R9MarkBeforeReplay counts the marks of a plain server that are ahead of its replay.
	R9MarkBeforeReplay Bug = "r9-mark-before-replay"
	// R9PlainMarksIgnored counts no marks of a plain server.
	R9PlainMarksIgnored Bug = "r9-plain-marks-ignored"
	// R9PlainListRepeats delivers what a plain list names when it stands behind the list's earliest.
	R9PlainListRepeats Bug = "r9-plain-list-repeats"
	// R9StretchForOthers adds a message to the open stretch, whoever that is for.
	R9StretchForOthers Bug = "r9-stretch-for-others"
	// R9CompletedNamesAny names in a completed ack a message that was not shown to the subscription.
	R9CompletedNamesAny Bug = "r9-completed-names-any"
	// R9SideTakesAll takes messages of any publisher in a side session.
	R9SideTakesAll Bug = "r9-side-takes-all"
	// R9SideSkips reads a publisher behind what the other instance has removed of it.
	R9SideSkips Bug = "r9-side-skips"
	// R9PeerNotAwaited tells a gap although an instance that is away may have what is missing.
	R9PeerNotAwaited Bug = "r9-peer-not-awaited"
	// R9GapNotCommon tells a gap of what one of the instances that were asked still has.
	R9GapNotCommon Bug = "r9-gap-not-common"
	// R9DiscardedIsGap tells a gap of what was discarded out of order.
	R9DiscardedIsGap Bug = "r9-discarded-is-gap"
	// R9LostUntold says nothing of lost messages to a subscription that has nothing of their publisher.
	R9LostUntold Bug = "r9-lost-untold"
	// R10IntactAtOnce takes a journal for intact that was empty when it met its group.
	R10IntactAtOnce Bug = "r10-intact-at-once"
	// R10LetGoUnheard says that a publisher let go what may have been lost with a disk.
	R10LetGoUnheard Bug = "r10-let-go-unheard"
	// R10SameLife keeps the publisher of a store that starts empty.
	R10SameLife Bug = "r10-same-life"
	// R10RollbackStays goes on at the server that has more of the store than the store, at once.
	R10RollbackStays Bug = "r10-rollback-stays"
	// R10RenewsFreely begins a new life of the store whenever a server says that it has more of it.
	R10RenewsFreely Bug = "r10-renews-freely"
	// R10UnknownIsGap takes a publisher that nobody knows any more for a gap.
	R10UnknownIsGap Bug = "r10-unknown-is-gap"
	// R10ClockNotCompared takes again what a forgotten life may have sent before.
	R10ClockNotCompared Bug = "r10-clock-not-compared"
	// R10ForgetsAlone forgets publishers although a peer has not agreed.
	R10ForgetsAlone Bug = "r10-forgets-alone"
	// R10PromiseStays leaves a peer that has forgotten a publisher without word of it when there is a session.
	R10PromiseStays Bug = "r10-promise-stays"
	// R10TellsForgotten tells a peer that has forgotten a publisher of it at every hello.
	R10TellsForgotten Bug = "r10-tells-forgotten"
	// R10ClosedIsRemoved tells a place that could do without a closed publisher what was removed of it.
	R10ClosedIsRemoved Bug = "r10-closed-is-removed"
	// R10ClosedByOne has places leave out a publisher that a peer that is away may still have.
	R10ClosedByOne Bug = "r10-closed-by-one"
	// R10LeavesAtOnce has places leave out a publisher as soon as it is closed, which no older image knows.
	R10LeavesAtOnce Bug = "r10-leaves-at-once"
	// R10LeavesHereOnly does so when it was closed here for long enough, and perhaps just now elsewhere.
	R10LeavesHereOnly Bug = "r10-leaves-here-only"
	// R10ForgetsOutstanding has a place forget a publisher of which messages are outstanding.
	R10ForgetsOutstanding Bug = "r10-forgets-outstanding"
	// R10ClosingUntold leaves a peer waiting for a publisher that may be forgotten since the hello.
	R10ClosingUntold Bug = "r10-closing-untold"
	// R10GoneUntold says nothing of what is gone to a peer that has less, of a publisher that may be forgotten.
	R10GoneUntold Bug = "r10-gone-untold"
	// R10DurableUntold does not tell a peer that may have forgotten a publisher, and has a session of it, how far it is durable here.
	R10DurableUntold Bug = "r10-durable-untold"
	// R10SentNotKept has a store say after a crash that nothing was sent since it was last closed.
	R10SentNotKept Bug = "r10-sent-not-kept"
	// R10LifeByCRC makes the id of a life by the protocol's hash, for which other lives can be found.
	R10LifeByCRC Bug = "r10-life-by-crc"
	// R10CheckIgnored takes two publishers with one id for one.
	R10CheckIgnored Bug = "r10-check-ignored"
	// R10CheckNotKept leaves the check out of a publisher's first record.
	R10CheckNotKept Bug = "r10-check-not-kept"
	// R10CheckTold gives subscribers the check of a publisher.
	R10CheckTold Bug = "r10-check-told"
	// R10CheckNotInHead leaves the checks out of the heads of segments.
	R10CheckNotInHead Bug = "r10-check-not-in-head"
	// R10NotIntroduced sends a peer the first record of a publisher without its check.
	R10NotIntroduced Bug = "r10-not-introduced"
	// R10KeepsRefusedLife has the client keep a life of its store whose id is another publisher's.
	R10KeepsRefusedLife Bug = "r10-keeps-refused-life"
	// R10LifeTold writes the life of the store into the log.
	R10LifeTold Bug = "r10-life-told"
	// R10NoBase numbers a life from 1 towards a server without our extensions.
	R10NoBase Bug = "r10-no-base"
	// R10CompactsDoubt compacts a database whose last commit may be missing, so that no new life begins.
	R10CompactsDoubt Bug = "r10-compacts-doubt"
	// R11NoFence lets two sessions of one name live.
	R11NoFence Bug = "r11-no-fence"
	// R11TakesAtOnce takes numbers of a session whose notice was not answered.
	R11TakesAtOnce Bug = "r11-takes-at-once"
	// R11TakesBehind takes numbers although a peer has more of the publisher than is here.
	R11TakesBehind Bug = "r11-takes-behind"
	// R11KeptInSilence does not tell the peer whose session has lost to one that stays.
	R11KeptInSilence Bug = "r11-kept-in-silence"
	// R11ClaimForgotten answers a claim without regard to a higher one of another peer.
	R11ClaimForgotten Bug = "r11-claim-forgotten"
	// R11LaterWins ignores the counter of a logon and lets the later notice win.
	R11LaterWins Bug = "r11-later-wins"
	// R11NoContentCheck answers a duplicate identity with other content as a duplicate.
	R11NoContentCheck Bug = "r11-no-content-check"
	// R11KindsAlike takes a message and a tombstone of one identity for the same.
	R11KindsAlike Bug = "r11-kinds-alike"
	// R11Overtaken lets a session live although a link brings numbers that its client has not given out.
	R11Overtaken Bug = "r11-overtaken"
	// R11GoneWithoutCRC says that messages are gone and not what the running CRC is there.
	R11GoneWithoutCRC Bug = "r11-gone-without-crc"
	// R11NameNotGrowing has a client try again as soon as ever when its name is in use.
	R11NameNotGrowing Bug = "r11-name-not-growing"
	// R11ComparedLate lets what a hello says count before it is compared.
	R11ComparedLate Bug = "r11-compared-late"
	// R11DivergedNotDurable forgets at a restart that a publisher has diverged.
	R11DivergedNotDurable Bug = "r11-diverged-not-durable"
	// R11DivergedTaken takes records of a publisher that has diverged.
	R11DivergedTaken Bug = "r11-diverged-taken"
	// R11DivergedSafe lets safe(p) pass what is proven equal of a publisher that has diverged.
	R11DivergedSafe Bug = "r11-diverged-safe"
	// R11DivergedSent sends a publisher that has diverged to peers.
	R11DivergedSent Bug = "r11-diverged-sent"
	// R11DivergedForgotten lets publishers that have diverged be forgotten like others.
	R11DivergedForgotten Bug = "r11-diverged-forgotten"
	// R11DivergedPromised has a peer's word that it may forget a publisher count that has diverged.
	R11DivergedPromised Bug = "r11-diverged-promised"
	// R11DivergedAwaited counts what a peer lacks of a publisher that has diverged as waiting.
	R11DivergedAwaited Bug = "r11-diverged-awaited"
	// R11AnySum takes messages whose content has not the sum that they say.
	R11AnySum Bug = "r11-any-sum"
	// R11DivergedHoldsBack has fully durable subscriptions wait for a publisher that has diverged.
	R11DivergedHoldsBack Bug = "r11-diverged-holds-back"
	// R11DivergedLives lets a session of a publisher that has diverged live.
	R11DivergedLives Bug = "r11-diverged-lives"
	// R11DivergedKept leaves a client with the life that has diverged.
	R11DivergedKept Bug = "r11-diverged-kept"
	// R11TrustsCopies lets go what a server has of a copied store, whoever sent it.
	R11TrustsCopies Bug = "r11-trusts-copies"
	// G6SkipsTurn goes on behind the message in whose turn the loop was left.
	G6SkipsTurn Bug = "g6-skips-turn"
	// G6RedoDiscarded hands that message over again although it was discarded meanwhile.
	G6RedoDiscarded Bug = "g6-redo-discarded"
	// R12TailCounts counts the dropped tail of an overrun subscription as received.
	R12TailCounts Bug = "r12-tail-counts"
	// R12ReaderWaits lets the reader of a connection wait for the application.
	R12ReaderWaits Bug = "r12-reader-waits"
	// R12RunUnbounded queues all messages that come together if there is room for one.
	R12RunUnbounded Bug = "r12-run-unbounded"
	// R13SettledIsSafe gives what is settled to a fully durable subscription.
	R13SettledIsSafe Bug = "r13-settled-is-safe"
	// R14LimitsTheOld holds what is in a journal of the group to a limit on what is published.
	R14LimitsTheOld Bug = "r14-limits-the-old"
	// R14TooLargeAgain ends the connection for a message that is longer than the client takes.
	R14TooLargeAgain Bug = "r14-too-large-again"
	// R14NoTombstone rejects without leaving a record.
	R14NoTombstone Bug = "r14-no-tombstone"
	// R14ReplayRejected keeps a rejected message in the store.
	R14ReplayRejected Bug = "r14-replay-rejected"
	// R14AckPasses lets a persisted ack pass a tombstone that was not told.
	R14AckPasses Bug = "r14-ack-passes"
	// R14AckPassesFrames lets a persisted ack pass the failure of an earlier message that is still queued.
	R14AckPassesFrames Bug = "r14-ack-passes-frames"
	// R14NotToldAgain sends the failures of tombstones once only, not before a later logon ack.
	R14NotToldAgain Bug = "r14-not-told-again"
	// R4PlainGaps publishes to a server without extensions that lacks what was let go.
	R4PlainGaps Bug = "r4-plain-gaps"
	// R11PushesBack has two processes of one name push each other out at a server without extensions.
	R11PushesBack Bug = "r11-pushes-back"
	// R15ConflatesAll delays the acks of clients with our extensions, too, as their logon asks of plain servers.
	R15ConflatesAll Bug = "r15-conflates-all"
	// R14DuplicateRejects tells the application of a message as rejected that a plain server has already.
	R14DuplicateRejects Bug = "r14-duplicate-rejects"
	// R14UnnamedEnds ends the session when a plain server refuses a message without naming it.
	R14UnnamedEnds Bug = "r14-unnamed-ends"
	// R14UnnamedLetGo lets messages go, untold, one of which a plain server has refused without naming it.
	R14UnnamedLetGo Bug = "r14-unnamed-let-go"
	// R15LogonAtOnce answers a plain logon before the numbers are one.
	R15LogonAtOnce Bug = "r15-logon-at-once"
	// G2AckEarly (client) tolerates nothing: takes an ack beyond what was sent as good for what comes later.
	G2AckBeyond Bug = "g2-ack-beyond"
	// LogUnbounded writes each line that a client causes to the log, however long.
	LogUnbounded Bug = "log-unbounded"
	// TxSentEarly sends a message of a transaction of the application before its commit.
	TxSentEarly Bug = "tx-sent-early"
	// TxRollbackKept takes what a rolled back transaction appended for committed by a later one.
	TxRollbackKept Bug = "tx-rollback-kept"
	// TxDiscardInMemory leaves a discard in a transaction of the application to a later commit.
	TxDiscardInMemory Bug = "tx-discard-in-memory"
	// TxTwice lets a transaction discard a message that is not outstanding.
	TxTwice Bug = "tx-twice"
	// InlineForgets drops the part of an inline write that the connection did not take.
	InlineForgets Bug = "inline-forgets"
	// HeartbeatsIgnored never declares a silent connection lost.
	HeartbeatsIgnored Bug = "heartbeats-ignored"
	// StopUntold does not tell the peers that the instance stops.
	StopUntold Bug = "stop-untold"
	// ChooserBlind tries servers that are known to lag like any others.
	ChooserBlind Bug = "chooser-blind"
	// FailBackBlind goes back to a preferred server that has not caught up.
	FailBackBlind Bug = "failback-blind"
	// AsyncCounts counts an asynchronous destination for acks.
	AsyncCounts Bug = "async-counts"
)

//! A policy's stream over the live state.

use super::{Live, Session};
use crate::error::Result;
use crate::snapshot::Event;

impl Session {
    /// Begins a stream over the live state: networks with policies train on what they have not trained on, then the
    /// policies start at position 0 of a stream of `total` bytes, or of unknown length. Without a policy it changes nothing.
    ///
    /// # Errors
    /// `Memory`; `State` if the length is not given and a policy has positions in percent.
    pub fn live_begin(&mut self, total: Option<u64>) -> Result<()> {
        let Live { predictor, history } = self.live()?;
        if total.is_none() {
            predictor.check_unknown_length()?;
        }
        if predictor.has_policy() {
            predictor.end_stream();
            predictor.begin_stream(total);
            history.event(Event::Begin, total.unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Ends a stream over the live state: networks with policies train on the pairs that they have not trained on.
    ///
    /// # Errors
    /// `Memory`.
    pub fn live_end(&mut self) -> Result<()> {
        let Live { predictor, history } = self.live()?;
        if predictor.has_policy() {
            predictor.end_stream();
            history.event(Event::End, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Status;
    use crate::model::VOCAB;
    use crate::session::Session;

    const CFG: &str = "cfg:hidden=32,layers=2,intermediate=24,head_size=32,decay_rank=3,a_rank=3,v_rank=3,g_rank=5";
    const TEXT: &[u8] = b"the cat sat on the mat, the dog sat on the log, the frog sat on the dog";

    fn create(policy: &str) -> Session {
        Session::create(&format!("{CFG};policy:{policy}")).unwrap()
    }

    fn next(session: &mut Session) -> [f32; VOCAB] {
        let mut p = [0.0; VOCAB];
        session.predict(&mut p).unwrap();
        p
    }

    #[test]
    fn a_stream_in_pieces_and_through_snapshots_is_the_stream() {
        let policies = [
            "schedule=0..100:train(opt=adam,lr=0.01,bptt=5)",
            "schedule=0..20:train(lr=0.1,momentum=0.5)|30..33:train(scope=head+bias,opt=adam)|40..90:train(stride=3,lr=0.1)",
            "schedule=repeat(0..100%,period=10,pattern=4:train(lr=0.2,clip=0.01)+3:infer)",
        ];
        for policy in policies {
            let mut whole = create(policy);
            whole.live_begin(Some(TEXT.len() as u64)).unwrap();
            let mut pieces = create(policy);
            pieces.live_begin(Some(TEXT.len() as u64)).unwrap();
            for byte in TEXT {
                whole.feed(&[*byte], None).unwrap();
                // A snapshot in the middle of a segment, restored in another session.
                let snapshot = pieces.snapshot().unwrap();
                pieces = create(policy);
                pieces.restore(&snapshot).unwrap();
                pieces.feed(&[*byte], None).unwrap();
                assert_eq!(next(&mut whole), next(&mut pieces), "{policy}");
            }
            let before = next(&mut whole);
            let mut at_once = create(policy);
            at_once.live_begin(Some(TEXT.len() as u64)).unwrap();
            at_once.feed(TEXT, None).unwrap();
            assert_eq!(next(&mut at_once), before);
            [&mut whole, &mut pieces].into_iter().for_each(|session| session.live_end().unwrap());
            assert_eq!(next(&mut whole), next(&mut pieces), "{policy}");
            assert_eq!(whole.snapshot().unwrap().id(), pieces.snapshot().unwrap().id());
        }
    }

    #[test]
    fn the_end_trains_on_pending_pairs_and_the_beginning_does_so_before_it_starts_again() {
        let policy = "schedule=0..1000:train(lr=0.1)";
        let [mut ended, mut begun] = [create(policy), create(policy)];
        for session in [&mut ended, &mut begun] {
            session.feed(&TEXT[..3], None).unwrap();
        }
        let before = next(&mut ended);
        ended.live_end().unwrap();
        assert_ne!(next(&mut ended), before);
        let trained = next(&mut ended);
        ended.live_end().unwrap();
        assert_eq!(next(&mut ended), trained, "nothing is pending");
        begun.live_begin(None).unwrap();
        assert_eq!(next(&mut begun), trained);
    }

    #[test]
    fn percent_positions_need_a_length() {
        let mut session = create("schedule=0..50%:train");
        assert_eq!(session.feed(TEXT, None).unwrap_err().status(), Status::State);
        assert_eq!(session.live_begin(None).unwrap_err().status(), Status::State);
        session.live_begin(Some(100)).unwrap();
        session.feed(TEXT, None).unwrap();
        // Calls from the base have their own length.
        session.cross_entropy(TEXT, None).unwrap();
    }

    #[test]
    fn measures_agree_with_each_other() {
        let mut session = create("schedule=0..1000:train(opt=adam,lr=0.01)");
        let (a, b) = TEXT.split_at(30);
        let whole = session.cross_entropy(TEXT, None).unwrap() * TEXT.len() as f64;
        let first = session.cross_entropy(a, None).unwrap() * a.len() as f64;
        let after = session.cross_entropy_conditional(&[&a[..10], b"", &a[10..]], b, None).unwrap() * b.len() as f64;
        assert!((first + after - whole).abs() < 1e-6);
        let live = session.cross_entropy_live(a, None).unwrap() * a.len() as f64;
        assert!((live - first).abs() < 1e-6);
        let live = session.cross_entropy_live(b, None).unwrap() * b.len() as f64;
        assert!((live - after).abs() < 1e-6);
        let joint = session.cross_entropy_joint(a, b, None).unwrap();
        assert_eq!(joint, session.cross_entropy_joint(b, a, None).unwrap());
        let pairs: Vec<u8> = a.iter().zip(b).flat_map(|(a, b)| [*a, *b]).collect();
        let swapped: Vec<u8> = a.iter().zip(b).flat_map(|(a, b)| [*b, *a]).collect();
        let want = [pairs, swapped].map(|p| session.cross_entropy(&p, None).unwrap() * 2.0);
        assert!((joint - want[0].min(want[1])).abs() < 1e-9);
        for empty in [
            session.cross_entropy_live(b"", None),
            session.cross_entropy_conditional(&[a], b"", None),
            session.cross_entropy_joint(a, b"", None),
        ] {
            assert_eq!(empty.unwrap(), 0.0);
        }
    }

    /// Unknown lengths and every kind of block: text, and noise that is stored and skipped.
    #[test]
    fn frames_and_records_with_policies_decode() {
        let mut noise = crate::numeric::random::Random::new(1, "noise");
        let mut data = TEXT.repeat(30);
        data.extend((0..9000).map(|_| noise.next_u64() as u8));
        data.extend(TEXT.repeat(30));
        for method in [
            format!("{CFG};policy:schedule=0..50%:train(opt=adam,lr=0.005)|50%..100%:train(lr=0.05)"),
            format!("mix:neural=({CFG};policy:schedule=0..100%:train(opt=adam,lr=0.005)),mem=64K"),
        ] {
            let mut session = Session::create(&method).unwrap();
            session.params_mut().set(crate::session::Param::BlockLog, 12).unwrap();
            let mut frame = vec![0; 20_000];
            let n = session.compress(&data, &mut frame, None).unwrap();
            let mut back = vec![0; data.len()];
            let mut other = Session::create_for_frame(&frame[..n]).unwrap();
            assert_eq!(other.decompress(&frame[..n], &mut back, None).unwrap(), data.len());
            assert!(back == data, "{method}");
            let (mut records, mut lens) = (vec![0; 4000], [0; 3]);
            let src = [&data[..100], &data[..7], b""];
            let n = session.records_compress(&src, &mut records, &mut lens, None).unwrap();
            let parts = [&records[..lens[0]], &records[lens[0]..lens[0] + lens[1]], &records[lens[0] + lens[1]..n]];
            let mut out = [0; 107];
            session.records_decompress(&parts, &mut out, &mut lens, None).unwrap();
            assert!(out[..100] == data[..100] && out[100..] == data[..7]);
        }
    }

    #[test]
    fn what_learns_costs_less() {
        let cost = |policy: &str| create(policy).cross_entropy(&TEXT.repeat(20), None).unwrap();
        let frozen = cost("schedule=0..1:infer");
        let all = cost("schedule=0..100%:train(opt=adam,lr=0.003)");
        let head = cost("schedule=0..100%:train(opt=adam,lr=0.003,scope=head+bias)");
        assert!(all < 2.0 && all < head && head < frozen, "{all}, {head}, {frozen}");
    }
}

//! How transactions and challenges are written as strings.
//!
//! A transaction: whether it is exhausted, one byte; when it ends, eight; the sealed rest. A challenge: the tries that are left, four
//! bytes; the mark of what was decided, 32, zeroes if nothing was; when it ends, eight; its slot, 32; the sealed rest.

use countersign_domain::{
    challenge::ChallengeRecord,
    port::PortError,
    secret::{Digest, Sealed},
    time::Timestamp,
    transaction::TransactionRecord,
};

pub(super) fn encode_transaction(record: &TransactionRecord) -> Vec<u8> {
    let mut value = Vec::with_capacity(9 + record.sealed.as_bytes().len());
    value.push(u8::from(record.exhausted));
    value.extend_from_slice(&record.expires_at.as_millis().to_be_bytes());
    value.extend_from_slice(record.sealed.as_bytes());
    value
}

pub(super) fn decode_transaction(digest: Digest, value: &[u8]) -> Result<TransactionRecord, PortError> {
    let (exhausted, rest) = value.split_first_chunk::<1>().ok_or_else(short)?;
    let (expires_at, sealed) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    Ok(TransactionRecord {
        digest,
        sealed: Sealed::new(sealed.to_vec()),
        expires_at: Timestamp::from_millis(i64::from_be_bytes(*expires_at)),
        exhausted: *exhausted != [0],
    })
}

pub(super) fn encode_challenge(record: &ChallengeRecord) -> Vec<u8> {
    let mut value = Vec::with_capacity(76 + record.sealed.as_bytes().len());
    value.extend_from_slice(&record.tries.to_be_bytes());
    value.extend_from_slice(record.decision.as_ref().map_or(&UNDECIDED[..], |mark| &mark.as_bytes()[..]));
    value.extend_from_slice(&record.expires_at.as_millis().to_be_bytes());
    value.extend_from_slice(record.slot.as_bytes());
    value.extend_from_slice(record.sealed.as_bytes());
    value
}

pub(super) fn decode_challenge(digest: Digest, value: &[u8]) -> Result<ChallengeRecord, PortError> {
    let (tries, rest) = value.split_first_chunk::<4>().ok_or_else(short)?;
    let (mark, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
    let (expires_at, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (slot, sealed) = rest.split_first_chunk::<32>().ok_or_else(short)?;
    Ok(ChallengeRecord {
        digest,
        slot: Digest::new(*slot),
        sealed: Sealed::new(sealed.to_vec()),
        tries: u32::from_be_bytes(*tries),
        decision: (*mark != UNDECIDED).then(|| Digest::new(*mark)),
        expires_at: Timestamp::from_millis(i64::from_be_bytes(*expires_at)),
    })
}

/// The mark of a challenge that nobody has decided.
const UNDECIDED: [u8; 32] = [0; 32];

pub(super) fn decode_mark(mark: &[u8]) -> Result<Digest, PortError> {
    <[u8; 32]>::try_from(mark).map(Digest::new).map_err(|_| short())
}

fn short() -> PortError {
    PortError::Corrupt(Box::from("a record is too short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_reads_back_as_it_was_written() {
        let digest = Digest::new([7; 32]);
        for exhausted in [false, true] {
            let record = TransactionRecord {
                digest,
                sealed: Sealed::new(vec![0, 255, 13, 10]),
                expires_at: Timestamp::from_millis(1_795_000_000_123),
                exhausted,
            };
            let read = decode_transaction(digest, &encode_transaction(&record)).unwrap();
            assert_eq!(read.sealed, record.sealed);
            assert_eq!((read.expires_at, read.exhausted), (record.expires_at, exhausted));
        }
    }

    #[test]
    fn a_challenge_reads_back_as_it_was_written() {
        let record = ChallengeRecord {
            digest: Digest::new([7; 32]),
            slot: Digest::new([8; 32]),
            sealed: Sealed::new(vec![0, 255, 13, 10]),
            tries: 261,
            decision: Some(Digest::new([9; 32])),
            expires_at: Timestamp::from_millis(1_795_000_000_123),
        };
        let read = decode_challenge(record.digest, &encode_challenge(&record)).unwrap();
        assert_eq!((read.slot, read.sealed), (record.slot, record.sealed));
        assert_eq!((read.tries, read.decision, read.expires_at), (record.tries, record.decision, record.expires_at));
    }

    #[test]
    fn a_cut_record_is_damage() {
        let digest = Digest::new([7; 32]);
        for length in 0..9 {
            assert!(matches!(decode_transaction(digest, &vec![0; length]), Err(PortError::Corrupt(_))), "{length}");
        }
        for length in 0..76 {
            assert!(matches!(decode_challenge(digest, &vec![0; length]), Err(PortError::Corrupt(_))), "{length}");
        }
    }
}

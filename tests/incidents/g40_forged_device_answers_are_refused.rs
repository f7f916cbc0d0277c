//! G-40, GitLab CVE-2026-0723: an unchecked return value accepted forged device responses. Here a forged answer is refused, whatever
//! is forged: the signature, the login it is for, or the place where the answer is kept.

use countersign_tests::{
    api::Transport,
    device::Device,
    everywhere,
    refusal::{BAD_ANSWER, NO_LOGIN_WAITS, PENDING, Refused as _},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

everywhere! {
    in Tenant::default().with_devices();

    async fn an_answer_of_another_key_user_or_login_approves_nothing(world: World, api: Api) {
        let people = world.people(&["ann", "eve"]).await;
        let [ann, eve] = <[_; 2]>::try_from(people).unwrap();
        let (device, evil) = (Device::new("ann"), Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        eve.enrol_device(&api, &evil).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let number = asked.number.as_deref();
        // Another key, though of a registered device that calls itself the same.
        api.resolve(&pushed.token, &evil.answer(&world, &pushed, true, number)).await.refused(&BAD_ANSWER);
        // The right key, for another login of somebody else.
        let (_, _, theirs) = eve.asked(&world, &api).await;
        api.resolve(&pushed.token, &device.answer(&world, &theirs, true, number)).await.refused(&BAD_ANSWER);
        api.resolve(&theirs.token, &device.answer(&world, &theirs, true, number)).await.refused(&BAD_ANSWER);
        // A signature that was cut, and one that was taken from elsewhere.
        let good = device.answer(&world, &pushed, true, number);
        let (input, signature) = good.rsplit_once('.').unwrap();
        let refusal = device.answer(&world, &pushed, false, None);
        let (_, other) = refusal.rsplit_once('.').unwrap();
        for forged in [format!("{input}."), format!("{input}.{}", &signature[..40]), format!("{input}.{other}")] {
            api.resolve(&pushed.token, &forged).await.refused(&BAD_ANSWER);
        }
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
    }
}

/// Whoever writes to Redis may make people start again, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_written_into_redis_approves_a_login_or_an_enrolment() {
    let mut world = World::start(Store::Redis, Tenant::default().with_devices()).await;
    let api = world.api(Transport::Http);
    let people = world.people(&["ann", "bob"]).await;
    let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
    let device = Device::new("ann");
    ann.enrol_device(&api, &device).await;
    let (approved, once, pushed) = ann.asked(&world, &api).await;
    api.resolve(&pushed.token, &device.answer(&world, &pushed, true, once.number.as_deref())).await.unwrap();
    let client = redis::Client::open(world.redis().url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let marked = challenges(&mut connection).await.into_iter().find(|(_, value)| value[4..36] != [0; 32]).unwrap().1;
    api.poll(BACKEND, &approved, &once.oob_code).await.unwrap();

    let (token, asked, _) = ann.asked(&world, &api).await;
    let enrolling = bob.mfa_token(&api).await;
    let barcode = api.associate_push(&enrolling).await.unwrap();
    let mut tried = 0;
    for (key, value) in challenges(&mut connection).await {
        // One bit, all bits, the mark that approved another login, and that whole record.
        let mut marks = vec![marked[4..36].to_vec(), vec![1; 32], vec![255; 32]];
        for bit in 0..8 {
            let mut mark = vec![0; 32];
            mark[0] = 1 << bit;
            marks.push(mark);
        }
        let planted = marks.into_iter().map(|mark| [&value[..4], &mark, &value[36..]].concat());
        for planted in planted.chain([marked.clone()]) {
            redis::cmd("SET").arg(&key).arg(&planted).exec_async(&mut connection).await.unwrap();
            assert!(api.poll(BACKEND, &token, &asked.oob_code).await.is_err());
            assert!(api.poll(BACKEND, &enrolling, &barcode.oob_code).await.is_err());
            tried += 1;
        }
        redis::cmd("SET").arg(&key).arg(&value).exec_async(&mut connection).await.unwrap();
    }
    assert!(tried >= 24, "{tried}");
    api.resolve(&pushed.token, "a.b.c").await.refused(&NO_LOGIN_WAITS);
}

async fn challenges(connection: &mut redis::aio::MultiplexedConnection) -> Vec<(Vec<u8>, Vec<u8>)> {
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*:c").query_async(connection).await.unwrap();
    let mut found = Vec::new();
    for key in keys {
        let value: Vec<u8> = redis::cmd("GET").arg(&key).query_async(connection).await.unwrap();
        found.push((key, value));
    }
    found
}

. "$TESTS/lib.sh"
printf 'key,value\n1,one\n' > one.csv
shardy build --to "$SHARDY_S3_URL/snap" --shards 1 --run-id run-s3 one.csv > built.txt
SHARDY_CURRENT=$SHARDY_S3_URL/snap
export SHARDY_CURRENT
id=$AWS_ACCESS_KEY_ID
secret=$AWS_SECRET_ACCESS_KEY
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
AWS_SHARED_CREDENTIALS_FILE=$PWD/credentials
AWS_CONFIG_FILE=$PWD/config
AWS_EC2_METADATA_DISABLED=true
export AWS_SHARED_CREDENTIALS_FILE AWS_CONFIG_FILE AWS_EC2_METADATA_DISABLED
get() {
    status shardy --output-format text "$@" get 1 2>&1
}
{
    echo "# nothing to be found"
    get
    echo "# not signed: the server refuses"
    get --s3-option anonymous=true
    echo "# S3_* variables"
    (S3_ACCESS_KEY_ID=$id S3_SECRET_ACCESS_KEY=$secret && export S3_ACCESS_KEY_ID S3_SECRET_ACCESS_KEY && get)
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$id" "$secret" > credentials
    chmod 600 credentials
    cat > program <<END
#!/bin/sh
echo '{"Version": 1, "AccessKeyId": "$id", "SecretAccessKey": "$secret"}'
END
    chmod 700 program
    printf '[profile other]\ncredential_process = %s\n' "$PWD/program" > config
    echo "# the file"
    get
    echo "# a profile with a program"
    get --s3-option profile=other
    (AWS_PROFILE=other && export AWS_PROFILE && get)
    echo "# a profile that is not there"
    get --s3-option profile=none
    echo "# a damaged file"
    printf '[default\n' > credentials
    get
} > out.txt
cat out.txt
! grep -e "$secret" out.txt && echo "no secret is shown"
